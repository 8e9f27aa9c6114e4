"""Pictures for the report page, as data URLs: nothing is fetched when the page is opened.

They are made of what a run has recorded, never of files that its folder names: a run may come from anywhere.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jaxtyping import Integer
from PIL import Image

from pnpovss.evaluation.measures.previews import PHOTO_SIDE, decode_classes, decode_photo
from pnpovss.evaluation.runs.folder import Run
from pnpovss.results.colours import colour

__all__ = ["Picture", "Trio", "class_colour", "swatch", "trio"]

TINT = 0.65  # how much of a class's colour lies over the grey photo


@dataclass(frozen=True)
class Picture:
    """One picture of a `Trio`.

    Attributes:
        url: its content.
        alt: what it shows, for those who do not see it.
        what: photo, truth or prediction.
    """

    url: str
    alt: str
    what: str


@dataclass(frozen=True)
class Trio:
    """A photo with its truth and its prediction.

    Attributes:
        key: of the photo.
        caption: what it is shown for.
        pictures: the three.
        classes: (CSS colour, name) of those in truth or prediction.
    """

    key: str
    caption: str
    pictures: tuple[Picture, ...]
    classes: tuple[tuple[str, str], ...]


def trio(run: Run, key: str, caption: str) -> Trio:
    """Photo, truth and prediction of one record.

    Raises:
        InvalidInputError: the record holds something else.
    """
    record, names, background = run.records[key], run.settings.classes, run.settings.background_class
    photo = decode_photo(record["photo"])
    maps = {what: decode_classes(record[field]) for what, field in (("truth", "truth"), ("prediction", "predicted"))}
    there = {what: [int(i) for i in np.unique(found) if 0 <= i < len(names)] for what, found in maps.items()}
    shown = sorted({label for labels in there.values() for label in labels} - {background})
    pictures = [Picture(_url(photo), f"photo {key}", "photo")]
    for what, found in maps.items():
        said = ", ".join(names[label] for label in there[what] if label != background) or "nothing"
        pictures.append(Picture(_url(_tinted(found, shown, background, photo)), f"{what} of {key}: {said}", what))
    classes = tuple((class_colour(label, background), names[label]) for label in shown)
    return Trio(key, caption, tuple(pictures), classes)


def class_colour(label: int, background: int | None) -> str:
    """The CSS colour of a class: the same in every picture of runs that have the same classes."""
    return swatch(_place(label, background))


def swatch(index: int) -> str:
    """The CSS colour of the i-th thing."""
    return "#{:02x}{:02x}{:02x}".format(*colour(index))


def _place(label: int, background: int | None) -> int:
    """Where a class stands among those that have a colour."""
    return label if background is None else label - 1


def _tinted(
    classes: Integer[np.ndarray, "h w"], shown: Sequence[int], background: int | None, photo: Image.Image
) -> Image.Image:
    """Classes as colours over the grey photo; nothing where there is no class, or the background."""
    scale = PHOTO_SIDE / max(classes.shape)
    size = max(1, round(classes.shape[1] * scale)), max(1, round(classes.shape[0] * scale))
    grey = photo.convert("L").convert("RGB").resize(size, Image.Resampling.BILINEAR)
    base = np.asarray(grey, np.float32)
    large = np.asarray(Image.fromarray(classes.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    picture = base.copy()
    for label in shown:
        here = large == label
        own = np.array(colour(_place(label, background)), np.float32)
        picture[here] = (1 - TINT) * base[here] + TINT * own
    return Image.fromarray(picture.round().astype(np.uint8))


def _url(image: Image.Image) -> str:
    data = BytesIO()
    image.save(data, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(data.getvalue()).decode('ascii')}"
