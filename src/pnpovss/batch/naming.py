"""A photo that was asked for, and what its results may be called: a path of its own below the output folder."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath

from pnpovss.files.remote import is_url
from pnpovss.names import Name

__all__ = ["Photo", "absolute", "folded", "stem_of", "stems_apart"]

_LONGEST = 180  # bytes of a stem's last part; file systems take 255, and suffixes hold up to 60


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that was asked for.

    Attributes:
        path: its file, or its URL.
        place: its path below the folder, or the fixed part of the pattern, that it was found by; results mirror it.
        named: whether it was given by its own name, not found.
        names: its own names; None where it has none.
    """

    path: str
    place: str
    named: bool = False
    names: tuple[Name, ...] | None = None


def absolute(path: str) -> str:
    """A path from the root of its disk; a URL as it is."""
    return path if is_url(path) else os.path.abspath(path)


def folded(text: str) -> str:
    """Equal for names that some disk takes for the same."""
    return unicodedata.normalize("NFC", text.casefold())


def stem_of(photo: Photo, level: int, *, twin: bool = False) -> str:
    """The stem of a photo's results at one level of telling it apart from others; never leads out of a folder.

    cat, then cat.jpg, then folder-cat.jpg, then parent-folder-cat.jpg, ..., then a few digits of a hash.

    Args:
        photo: whose results they are.
        level: 0 where no other photo has the same stem.
        twin: whether the photo differs from another in upper and lower case alone, which many disks take for the same:
            no folder above tells those apart.
    """
    *folders, name = _inside(photo.place)
    path = absolute(photo.path)
    above = () if twin else PurePath(path).parent.parts[1:]
    climbed = level - 1
    if level == 0:
        name = os.path.splitext(name)[0]
    elif climbed <= len(above):
        name = "-".join([*above[len(above) - climbed :], name])
    else:
        name = f"{name}-{_digits(path, 8 * (climbed - len(above)))}"
    return "/".join([*folders, _fitting(name.lstrip(".") or "photo")])  # hidden records are in no export


def stems_apart(photo: Photo) -> Iterator[tuple[int, str]]:
    """(level, stem) of what a photo's results may be called where another one had the same stem; see `stem_of`."""
    for level in range(1, len(PurePath(absolute(photo.path)).parent.parts) + 2):
        yield level, stem_of(photo, level)
    yield 2, stem_of(photo, 2, twin=True)


def _inside(place: str) -> list[str]:
    """The parts of a place, none of which leads up or away."""
    path = PurePath(place)
    return [part for part in path.parts if part not in (path.anchor, "..", ".")] or ["photo"]


def _fitting(name: str) -> str:
    """A name that a suffix can be added to."""
    data = os.fsencode(name)
    if len(data) <= _LONGEST:
        return name
    return f"{data[: _LONGEST - 9].decode('utf-8', 'ignore')}-{_digits(name, 8)}"


def _digits(text: str, count: int) -> str:
    return sha256(os.fsencode(text)).hexdigest()[:count]
