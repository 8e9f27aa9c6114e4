"""One session of work on a run: when, by which command, with which versions, on what machine and how busy that was."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

__all__ = ["Session", "session"]

PACKAGES = ("pnpovss", "torch", "transformers", "numpy", "numba", "opencv-python-headless", "pillow")


class Session(BaseModel):
    """When, how and where a run was worked on.

    Attributes:
        started: ISO 8601, UTC.
        command: as a shell reads it.
        commit: of the source tree, with "+changes" where the package differs from it; None for an installed package.
        versions: by package.
        python: its version.
        system: operating system and processor.
        device: as torch names it.
        threads: that torch computes with.
        cores: that the machine has.
        load: processes that wanted to run, mean over the minute before the start; None where the system does not tell.
    """

    model_config = ConfigDict(frozen=True)
    started: str
    command: str
    commit: str | None
    versions: dict[str, str]
    python: str
    system: str
    device: str
    threads: int
    cores: int
    load: float | None

    @property
    def pace(self) -> str:
        """What seconds measured in this session depend on, in words."""
        load = "" if self.load is None else f", load {self.load:.1f} at the start"
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{self.device}, {threads}, {self.cores} cores{load}"


def session(device: str, arguments: Sequence[str] | None = None) -> Session:
    """The one that begins now."""
    command = [Path(sys.argv[0]).name, *sys.argv[1:]] if arguments is None else list(arguments)
    return Session(
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=shlex.join(command),
        commit=_commit(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        python=platform.python_version(),
        system=platform.platform(),
        device=device,
        threads=torch.get_num_threads(),
        cores=os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree, "+changes" where the package differs from it; None for an installed package."""
    here = Path(__file__).resolve().parents[2]
    if "site-packages" in here.parts:
        return None
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", ".")
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or no repository: provenance is the version alone
    return commit + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
