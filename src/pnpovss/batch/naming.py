"""Where the results of each photo go: a path of its own below the output folder, whatever the photos are called."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePath

from pnpovss.batch.photos import Photo

__all__ = ["output_stems"]

_LONGEST = 180  # bytes of a stem's last part; file systems take 255, and suffixes hold up to 60


def output_stems(photos: Sequence[Photo]) -> list[str]:
    """A different stem for each photo's results: its place without the suffix, or more where that is not enough.

    cat, then cat.jpg, then folder-cat.jpg, then parent-folder-cat.jpg, ...; photos that differ in upper and lower case
    alone, which many disks take for the same, and names too long to add to, get a few digits of a hash. A stem never
    leads out of the output folder.
    """
    paths = [os.path.abspath(photo.path) for photo in photos]
    twins = Counter(map(_folded, paths))
    levels = [0] * len(photos)
    stems = [_stem(photo, 0) for photo in photos]
    while clashing := _clashing(stems):
        for i in clashing:
            levels[i] += 1
            stems[i] = _stem(photos[i], levels[i], twin=twins[_folded(paths[i])] > 1)
    return stems


def _clashing(stems: Sequence[str]) -> list[int]:
    alike: dict[str, list[int]] = defaultdict(list)
    for i, stem in enumerate(stems):
        alike[_folded(stem)].append(i)
    return [i for group in alike.values() if len(group) > 1 for i in group]


def _folded(text: str) -> str:
    """Equal for names that some disk takes for the same."""
    return unicodedata.normalize("NFC", text.casefold())


def _stem(photo: Photo, level: int, *, twin: bool = False) -> str:
    """The stem of a photo at one level of telling it apart; no folder above tells twins apart."""
    *folders, name = _inside(photo.place)
    path = os.path.abspath(photo.path)
    above = () if twin else PurePath(path).parent.parts[1:]
    climbed = level - 1
    if level == 0:
        name = os.path.splitext(name)[0]
    elif climbed <= len(above):
        name = "-".join([*above[len(above) - climbed :], name])
    else:
        name = f"{name}-{_digits(path, 8 * (climbed - len(above)))}"
    return "/".join([*folders, _fitting(name)])


def _inside(place: str) -> list[str]:
    """The parts of a place, none of which leads up or away."""
    return [part for part in PurePath(place).parts if part not in ("/", "..", ".")] or ["photo"]


def _fitting(name: str) -> str:
    """A name that a suffix can be added to."""
    data = os.fsencode(name)
    if len(data) <= _LONGEST:
        return name
    return f"{data[: _LONGEST - 9].decode('utf-8', 'ignore')}-{_digits(name, 8)}"


def _digits(text: str, count: int) -> str:
    return sha256(os.fsencode(text)).hexdigest()[:count]
