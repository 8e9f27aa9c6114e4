"""Lists of photos: a file, or standard input, with a path or a JSON object in each line."""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from pnpovss.batch.naming import Photo
from pnpovss.errors import InvalidInputError, NamesError
from pnpovss.files.json import from_json
from pnpovss.files.remote import is_url
from pnpovss.names import Name, parse_names

__all__ = ["parse_list", "read_list"]

_BLOCK = 1 << 20  # bytes that are read at a time

_EXPECTED = 'a path, or {"photo": "a/cat.jpg", "names": ["cat", ["sofa", "couch"]]}'


def read_list(path: Path) -> Iterator[Photo | str]:
    """The entries of a file; see `parse_list`.

    Raises:
        InvalidInputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from parse_list(file, str(path))
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(f"cannot read the list {path}: {reason}") from error


def parse_list(file: BinaryIO, what: str) -> Iterator[Photo | str]:
    """Photos, and a line on each entry that is none, as they are read: memory does not grow with the list.

    Lines end with a line feed, or with a zero byte where there is one (as `find -print0` writes them). Paths are
    relative to the current folder, or URLs; results mirror them as they stand.

    Args:
        file: the list.
        what: how messages name it.
    """
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            try:
                yield _entry(line)
            except InvalidInputError as error:
                yield f"{what}, line {number}: {error}"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends, whichever byte ends them: the first that a block shows."""
    rest = file.read(_BLOCK).removeprefix(b"\xef\xbb\xbf")
    end = b"\0" if b"\0" in rest else b"\n"
    while block := file.read(_BLOCK):
        *whole, rest = (rest + block).split(end)
        yield from map(_without_return, whole)
    yield from map(_without_return, rest.split(end))


def _without_return(line: bytes) -> bytes:
    return line.removesuffix(b"\r")


def _entry(line: bytes) -> Photo:
    if not line.lstrip().startswith(b"{"):
        path = os.fsdecode(line)
        return Photo(path, _place(path))
    told = from_json(line)
    path = told.pop("photo", None)
    names = told.pop("names", None)
    if not isinstance(path, str) or not path or told:
        raise InvalidInputError(f"{line[:200]!r} is no entry; expected {_EXPECTED}")
    if "\0" in path:
        raise InvalidInputError(f"{path!r} holds a zero byte, which no path does")
    return Photo(path, _place(path), names=None if names is None else _names(_hashable(names)))


def _place(path: str) -> str:
    return path.split("://", 1)[1] if is_url(path) else os.path.normpath(path)


def _hashable(names: Any) -> Any:
    return tuple(map(_hashable, names)) if isinstance(names, Iterable) and not isinstance(names, str) else names


@lru_cache(1024)
def _names(names: Any) -> tuple[Name, ...]:
    """Names of one entry; most entries share theirs."""
    if not isinstance(names, tuple):
        raise NamesError(f"names are a list, got {names!r}")
    return parse_names(names)
