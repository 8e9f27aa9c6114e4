"""No setting is chosen on photos that results are reported on: who would do so by mistake is told.

Two rules. Photos of known benchmarks are recognised by their names and folders, as those data sets are published.
Photos of one's own evaluation are recognised by what they look like, whatever they are called.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from pnpovss.datasets.catalog import BENCHMARKS, evaluated_by
from pnpovss.errors import InvalidInputError
from pnpovss.files.walk import walk
from pnpovss.images import PHOTO_SUFFIXES, ImageSource, load_image
from pnpovss.tuning.photos import TuningPhoto

__all__ = ["photos_below", "refuse_evaluation_photos", "refuse_likenesses"]

_SIDE = 16
_DIFFERENT = (
    26  # of the 256 bits: scaled and stored anew a photo keeps nine of ten; two photos differ in a third or more
)


def refuse_evaluation_photos(photos: Sequence[TuningPhoto], allowed: Iterable[str] = ()) -> tuple[str, ...]:
    """Refuse photos that a benchmark evaluates, unless it is named.

    Args:
        photos: by paths; pixels alone tell no name.
        allowed: benchmarks whose evaluation photos may be tuned on. The result then says so.

    Returns:
        All benchmarks that evaluate a photo here, also those that were not named: of several that evaluate the same
        photos it is enough to name one.

    Raises:
        InvalidInputError: a photo of a benchmark that was not named, or a name of no benchmark.
    """
    allowed = set(allowed)
    if unknown := sorted(allowed - set(BENCHMARKS)):
        raise InvalidInputError(f"{unknown[0]!r} is no benchmark; known: {', '.join(BENCHMARKS)}")
    used: set[str] = set()
    for photo in photos:
        found = _evaluated_by(Path(photo.image)) if isinstance(photo.image, str | Path) else set()
        if found and not found & allowed:
            raise InvalidInputError(
                f"{photo.key!r} is a photo that {' and '.join(sorted(found))} evaluate: settings chosen on it make a "
                f"number reported on it worthless. Tune on other photos, or allow it by name "
                f"(--evaluation-photos {min(found)}); the result then says so"
            )
        used |= found
    return tuple(sorted(used))


def refuse_likenesses(photos: Sequence[TuningPhoto], folder: Path) -> None:
    """Refuse photos that look like one of a folder, whatever they are called, scaled or stored anew.

    Raises:
        InvalidInputError: the first such photo, and whose likeness it is; or a folder without photos.
    """
    paths = photos_below(folder)
    if not paths:
        raise InvalidInputError(f"{folder} holds no photo, so there is nothing to keep out")
    known = np.stack([_likeness(path) for path in paths])
    for photo in photos:
        differing = (known != _likeness(photo.image)).sum(1)
        if differing.min() <= _DIFFERENT:
            raise InvalidInputError(
                f"{photo.key!r} looks like {paths[int(differing.argmin())]}, which is to be kept out: settings chosen "
                "on photos that are reported on make the report worthless; take it out of the photos to tune on"
            )


def photos_below(folder: Path) -> list[Path]:
    """All photos in a folder and those in it, in order of their paths; links are followed, hidden files left out.

    Raises:
        InvalidInputError: a folder that cannot be searched, or a photo that is a link to nothing: what is not seen
            would be neither tuned on nor kept out.
    """
    found = sorted(
        path
        for _, files in walk(str(folder), unread=_refuse_unread, skipped=lambda real: False)
        for path in map(Path, files)
        if path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")
    )
    if gone := [path for path in found if not path.exists()]:
        raise InvalidInputError(f"{gone[0]} is a link to nothing; bring the photo there, or remove the link")
    return found


def _refuse_unread(folder: str, error: OSError) -> None:
    why = error.strerror or error
    raise InvalidInputError(f"cannot search the folder {folder} ({why}); check its path and permissions") from error


def _evaluated_by(photo: Path) -> set[str]:
    """The benchmarks that evaluate a photo, by the name it has here, or by that of the file it is a link to.

    In a store of contents (git-annex, DVC, a hub's cache) the link alone has the published name; beside links that
    were called anew, the file has.
    """
    return {*evaluated_by(photo.absolute()), *evaluated_by(photo.resolve())}


def _likeness(image: ImageSource) -> Bool[np.ndarray, " bit"]:
    """Bits that a photo keeps when it is scaled or stored anew: which of two neighbours in a small copy is brighter."""
    small = load_image(image).convert("L").resize((_SIDE + 1, _SIDE))
    grey = np.asarray(small, np.int16)
    return (grey[:, 1:] > grey[:, :-1]).ravel()
