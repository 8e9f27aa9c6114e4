"""A folder on a disk, used as `remote.RemoteFolder` is."""

import os
from collections.abc import Iterator
from pathlib import Path

from pnpovss.files.writing import write_all

__all__ = ["LocalFolder"]


class LocalFolder:
    """A folder of files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def walk(self) -> Iterator[tuple[str, list[str]]]:
        """(path of a folder, names of the files in it) of this folder and all below it, by name."""
        for here, folders, files in os.walk(self.path):
            folders.sort()
            yield here, sorted(files)

    def read(self, name: str) -> bytes | None:
        """The content of a file below it; None where it cannot be read."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Write a file: it appears whole, in the place of an earlier one.

        Raises:
            OutputError: it cannot be written.
        """
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        write_all({self.path / name: content})

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.path / name).exists()
