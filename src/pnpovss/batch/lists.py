"""Lists of photos: a file, or standard input, with a path or a JSON object in each line."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pnpovss.batch.photos import Photo
from pnpovss.errors import InvalidInputError, NamesError
from pnpovss.files.json import from_json
from pnpovss.names import Name, parse_names

__all__ = ["parse_list", "read_list"]

_EXPECTED = 'a path, or {"photo": "a/cat.jpg", "names": ["cat", ["sofa", "couch"]]}'


def read_list(path: Path) -> bytes:
    """The content of a list.

    Raises:
        InvalidInputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(f"cannot read the list {path}: {reason}") from error


def parse_list(data: bytes, what: str) -> tuple[list[Photo], list[str]]:
    """Photos, and a line on each entry that is none.

    Lines end with a line feed, or with a zero byte where there is one (as `find -print0` writes them). Paths are
    relative to the current folder, and results mirror them as they stand.

    Args:
        data: the list.
        what: how messages name it.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    photos, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            photos.append(_entry(line))
        except InvalidInputError as error:
            problems.append(f"{what}, line {number}: {error}")
    return photos, problems


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
    return os.path.normpath(path)


def _hashable(names: Any) -> Any:
    return tuple(map(_hashable, names)) if isinstance(names, Iterable) and not isinstance(names, str) else names


@cache
def _names(names: Any) -> tuple[Name, ...]:
    """Names of one entry; most entries share theirs."""
    if not isinstance(names, tuple):
        raise NamesError(f"names are a list, got {names!r}")
    return parse_names(names)
