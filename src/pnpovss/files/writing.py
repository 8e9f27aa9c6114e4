"""Files that are either wholly there or not there at all, whatever happens while they are written."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from pnpovss.errors import OutputError

__all__ = ["write_all"]


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files: all of them are complete before the first appears under its name, in the order given.

    Each is first written beside its place under a hidden temporary name, which is removed if anything fails; a file of
    that name from before stays until it is replaced.

    Raises:
        OutputError: no folder, no permission, no space left, or whatever else the system says.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            with _naming(path):
                staged.append((_stage(path, content), path))
        for temporary, path in staged:
            with _naming(path):
                temporary.replace(path)
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _stage(path: Path, content: bytes) -> Path:
    """Write to a new temporary file beside `path`, through to the disk; leave nothing if that fails."""
    temporary = path.parent / f".pnpovss-{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file could not be written, and what the system said."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; check the folder, its permissions and its space") from error
