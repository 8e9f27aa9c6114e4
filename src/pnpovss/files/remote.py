"""Files on object storage and other servers, by URL: s3://bucket/a.jpg, gs://bucket/a.jpg, https://host/a.jpg, ..."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pnpovss.errors import InvalidInputError, MissingExtraError, OutputError

__all__ = ["RemoteFolder", "is_url", "matching", "on_disk", "read_url"]

# Where a file that is put appears at once and whole; elsewhere it is put beside its place, and moved.
_WHOLE = {"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oss", "s3", "s3a"}


def is_url(place: object) -> bool:
    """Whether this is a URL, not a path; a single letter before a colon is a drive."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(place)) is not None


def on_disk(place: str) -> Path | None:
    """Where a path leads, or a URL of a disk (file://); None for what lies elsewhere."""
    protocol, _, path = place.partition("://")
    return Path(place) if not is_url(place) else Path(path) if protocol in ("file", "local") else None


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
    """URLs of the files that match a pattern (with *, ? or [), sorted; "**" is any depth, hidden folders aside.

    Raises:
        InvalidInputError: they cannot be listed, or it is no pattern.
        MissingExtraError: fsspec, or its package for this protocol, is not installed.
    """
    _system(pattern)  # says first what is missing
    fixed = pattern[: re.search(r"[*?\[]", pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]
    folder = RemoteFolder(fixed)
    rest = pattern.removeprefix(f"{folder}/")
    fits = _fitting(rest)
    depth = None if "**" in rest else rest.count("/") + 1
    urls = (f"{here}/{name}" for here, names in folder.walk(depth=depth) for name in names)
    return sorted(url for url in urls if fits(url.removeprefix(f"{folder}/")))


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

    def walk(self, *, depth: int | None = None) -> Iterator[tuple[str, list[str]]]:
        """(URL of a folder, names of the files in it) of this folder and those below it, by name; hidden ones aside.

        Not fsspec's own walk, which takes a folder that it may not list for an empty one.

        Args:
            depth: how many levels of folders; 1 is this one alone, None is all.

        Raises:
            InvalidInputError: one of them cannot be listed.
        """
        _, path = self._parts
        waiting = [(path, self.url, 1)]
        while waiting:
            here, url, level = waiting.pop()
            folders, files = self._listed(here, url)
            yield url, files
            if depth is None or level < depth:
                waiting += [(f"{here}/{name}", f"{url}/{name}", level + 1) for name in reversed(folders)]

    def names(self, inner: str) -> list[str]:
        """Names of the files directly in a folder below it; none where that is not there.

        Raises:
            InvalidInputError: it cannot be listed.
        """
        _, path = self._parts
        return self._listed(f"{path}/{inner}".rstrip("/"), f"{self.url}/{inner}")[1]

    def _listed(self, path: str, url: str) -> tuple[list[str], list[str]]:
        """Names of the open folders and of the files in a folder; none where it is not there."""
        system, _ = self._parts
        try:
            entries = system.ls(path, detail=True)
        except FileNotFoundError:
            return [], []
        except Exception as error:
            raise InvalidInputError(
                f"{url} cannot be listed: {_reason(error)}; photos there would be missing"
            ) from error
        folders, files = list[str](), list[str]()
        for entry in entries:
            place = entry["name"].rstrip("/")
            name = place.rpartition("/")[2]
            if place == path.rstrip("/"):  # object storage lists an object that stands for the folder itself
                continue
            if entry["type"] != "directory":
                files.append(name)
            elif not name.startswith("."):
                folders.append(name)
        return sorted(folders), sorted(files)

    def read(self, name: str, most: int | None = None) -> bytes | None:
        """The content of a file below it, or its first bytes, `most` of them; None where there is none.

        Raises:
            OutputError: it cannot be read.
        """
        system, path = self._parts
        try:
            return system.cat_file(f"{path}/{name}", start=None if most is None else 0, end=most)
        except FileNotFoundError:
            return None
        except Exception as error:
            if most is not None:  # some servers give no part of an empty file
                return self.read(name)
            raise OutputError(f"{self.url}/{name} cannot be read: {_reason(error)}") from error

    def exists(self, name: str) -> bool:
        """Whether a file is there.

        Raises:
            OutputError: the server does not tell.
        """
        system, path = self._parts
        try:
            system.info(f"{path}/{name}")  # `exists` takes every error for a no
        except FileNotFoundError:
            return False
        except Exception as error:
            raise OutputError(f"cannot find out whether {self.url}/{name} is there: {_reason(error)}") from error
        return True

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


def _fitting(pattern: str) -> Callable[[str], object]:
    """Whether a path below the fixed part of a pattern fits the rest of it."""
    from fsspec.utils import glob_translate

    try:
        return re.compile(glob_translate(pattern)).match
    except ValueError as error:
        raise InvalidInputError(f"{pattern} is no pattern: {error}") from error


def _reason(error: Exception) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return "there is no such file" if isinstance(error, FileNotFoundError) else text or type(error).__name__
