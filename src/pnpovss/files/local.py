"""A folder on a disk, used as `remote.RemoteFolder` is."""

import os
from collections.abc import Iterator
from pathlib import Path

from pnpovss.errors import InvalidInputError, OutputError
from pnpovss.files.writing import write_all

__all__ = ["LocalFolder"]


class LocalFolder:
    """A folder of files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def walk(self) -> Iterator[tuple[str, list[str]]]:
        """(path of a folder, names of the files in it) of this folder and all below it, by name.

        Raises:
            InvalidInputError: one of them cannot be searched.
        """
        for here, folders, files in os.walk(self.path, onerror=_stop):
            folders.sort()
            yield here, sorted(files)

    def names(self, inner: str) -> list[str]:
        """Names of what lies directly in a folder below it; none where that is not there.

        Raises:
            InvalidInputError: it cannot be searched.
        """
        try:
            return os.listdir(self.path / inner)
        except OSError as error:
            _stop(error)
            return []

    def read(self, name: str, most: int | None = None) -> bytes | None:
        """The content of a file below it, or its first bytes, `most` of them; None where there is none.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            with (self.path / name).open("rb") as file:
                return file.read(-1 if most is None else most)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OutputError(f"{self.path / name} cannot be read: {error.strerror}; check its permissions") from error

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


def _stop(error: OSError) -> None:
    """End a walk at a folder that cannot be searched; one that is not there holds nothing."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise InvalidInputError(
            f"{error.filename} cannot be searched: {error.strerror}; check its permissions"
        ) from error
