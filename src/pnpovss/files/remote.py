"""Files on object storage and other servers, by URL: s3://bucket/a.jpg, gs://bucket/a.jpg, https://host/a.jpg, ..."""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pnpovss.errors import InvalidInputError, MissingExtraError, OutputError

__all__ = ["RemoteFolder", "is_url", "matching", "read_url"]

# Where a file that is put appears at once and whole; elsewhere it is put beside its place, and moved.
_WHOLE = {"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oss", "s3", "s3a"}


def is_url(place: object) -> bool:
    """Whether this is a URL, not a path; a single letter before a colon is a drive."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(place)) is not None


def read_url(url: str) -> bytes:
    """The content of a file.

    Raises:
        InvalidInputError: it cannot be read, or the protocol is unknown.
        MissingExtraError: fsspec, or its package for this protocol, is not installed.
    """
    system, path = _system(url)
    try:
        return system.cat_file(path)
    except Exception as error:  # each protocol has its own
        raise InvalidInputError(f"{url} cannot be read: {_reason(error)}") from error


def matching(pattern: str) -> list[str]:
    """URLs of the files that match a pattern (with *, ? or [), sorted; "**" is any depth.

    Raises:
        InvalidInputError: they cannot be listed.
    """
    system, path = _system(pattern)
    fixed = pattern[: re.search(r"[*?\[]", pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]
    start = len(_system(fixed)[1])
    try:
        return [fixed + found[start:] for found in sorted(system.glob(path))]
    except Exception as error:
        raise InvalidInputError(f"{pattern} cannot be listed: {_reason(error)}") from error


class RemoteFolder:
    """A folder by URL; nothing of it is kept in memory."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    @cached_property
    def _parts(self) -> tuple[Any, str]:
        return _system(self.url)

    def __getstate__(self) -> dict[str, str]:
        """A connection is of one process."""
        return {"url": self.url}

    def is_folder(self) -> bool:
        """Whether something lies below it.

        Raises:
            InvalidInputError: the server does not tell.
        """
        system, path = self._parts
        try:
            return system.isdir(path)
        except Exception as error:
            raise InvalidInputError(f"{self.url} cannot be listed: {_reason(error)}") from error

    def walk(self, *, deep: bool = True) -> Iterator[tuple[str, list[str]]]:
        """(URL of a folder, names of the files in it) of this folder and, where `deep`, of all below it, by name.

        Hidden folders are left out.

        Raises:
            InvalidInputError: they cannot be listed.
        """
        system, path = self._parts
        try:
            for here, folders, files in system.walk(path, maxdepth=None if deep else 1):
                folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
                yield f"{self.url}/{here[len(path) :].strip('/')}".rstrip("/"), sorted(files)
        except Exception as error:
            raise InvalidInputError(f"{self.url} cannot be listed: {_reason(error)}") from error

    def read(self, name: str) -> bytes | None:
        """The content of a file below it; None where there is none.

        Raises:
            OutputError: it cannot be read.
        """
        system, path = self._parts
        try:
            return system.cat_file(f"{path}/{name}")
        except FileNotFoundError:
            return None
        except Exception as error:
            raise OutputError(f"{self.url}/{name} cannot be read: {_reason(error)}") from error

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        system, path = self._parts
        return system.exists(f"{path}/{name}")

    def put(self, name: str, content: bytes) -> None:
        """Write a file: it appears whole, in the place of an earlier one.

        Raises:
            OutputError: it cannot be written.
        """
        system, path = self._parts
        target = f"{path}/{name}"
        protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
        try:
            if protocols & _WHOLE:
                system.pipe_file(target, content)
                return
            folder, _, last = target.rpartition("/")
            system.makedirs(folder, exist_ok=True)
            system.pipe_file(f"{folder}/.{last}.part", content)
            system.mv(f"{folder}/.{last}.part", target)
        except FileNotFoundError as error:
            raise OutputError(f"cannot write {self.url}/{name}: there is no such bucket or folder") from error
        except Exception as error:
            raise OutputError(f"cannot write {self.url}/{name}: {_reason(error)}") from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            OutputError: it cannot be removed.
        """
        system, path = self._parts
        try:
            system.rm_file(f"{path}/{name}")
        except FileNotFoundError:
            pass
        except Exception as error:
            if self.exists(name):
                raise OutputError(f"cannot remove {self.url}/{name}: {_reason(error)}") from error


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, of this process, and the path on it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(f"reading or writing {url}", "remote") from error
    try:
        return url_to_fs(url, use_listings_cache=False)
    except ImportError as error:  # it says which package the protocol needs
        raise InvalidInputError(f"{url}: {error}") from error
    except ValueError as error:
        raise InvalidInputError(f"{url}: {error}; see fsspec's documentation for what it knows") from error


def _reason(error: Exception) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return "there is no such file" if isinstance(error, FileNotFoundError) else text or type(error).__name__
