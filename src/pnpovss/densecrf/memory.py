"""How much memory a Dense CRF takes, and refusing before it runs out."""

import ctypes
import os
import sys
from pathlib import Path

from pnpovss.errors import ResourceError

__all__ = ["available_memory", "require"]

_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that can still be had on this machine (or in this container), or None where it cannot be told."""
    system = _windows() if sys.platform == "win32" else _posix()
    return min((size for size in (system, _container()) if size is not None), default=None)


def require(bytes_needed: int, limit: int | None, what: str) -> None:
    """Refuse what would not fit.

    Args:
        bytes_needed: what it takes, beyond what is already in use.
        limit: bytes allowed; None for what the machine has.
        what: is about to be made, for the message.

    Raises:
        ResourceError: it takes more than there is.
    """
    allowed = available_memory() if limit is None else limit
    if allowed is not None and bytes_needed > allowed:
        raise ResourceError(
            f"{what} takes {_readable(bytes_needed)} of memory and {_readable(allowed)} is available: "
            "use a smaller image or fewer labels, or free memory"
        )


def _readable(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**28 else f"{size / 2**20:.1f} MiB"


def _posix() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _container() -> int | None:
    """What control group 2 of this container still allows."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        return None if limit == "max" else max(0, int(limit) - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        return None


class _MemoryStatus(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *(
            (name, ctypes.c_ulonglong)
            for name in ("total", "free", "page_total", "page_free", "virtual", "unused", "x")
        ),
    ]


def _windows() -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  (exists on Windows alone)
    return int(status.free) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None
