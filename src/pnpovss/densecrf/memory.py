"""How much memory there is, and refusing before it runs out."""

import os
from pathlib import Path

from pnpovss.errors import ResourceError

__all__ = ["free_memory", "require"]

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes that can still be had on this machine, or in this container; None where the system does not tell."""
    return min((size for size in (_machine(), _container()) if size is not None), default=None)


def require(needed: int, free: int | None, what: str) -> None:
    """Refuse what would not fit.

    Raises:
        ResourceError: `what` takes more bytes than are free.
    """
    if free is not None and needed > free:
        raise ResourceError(
            f"{what} takes about {_readable(needed)} of memory and {_readable(free)} is available: "
            "use a smaller image or fewer labels, or free memory"
        )


def _readable(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**28 else f"{size / 2**20:.1f} MiB"


def _machine() -> int | None:
    """Linux tells what is available, macOS only what there is."""
    if _MEMINFO.is_file():
        lines = _MEMINFO.read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _container() -> int | None:
    """What control group 2 of this container still allows.

    Files that were read or written count as taken, though the kernel gives their memory back when it is wanted.
    """
    try:
        told = (_CGROUP / "memory.max").read_text().strip()
        if told == "max":
            return None
        limit, taken = int(told), int((_CGROUP / "memory.current").read_text())
        return max(0, min(limit, limit - taken + _file_cache()))
    except (OSError, ValueError):
        return None


def _file_cache() -> int:
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))
