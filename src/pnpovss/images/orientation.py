"""How a photo is held by its file, and how it is turned to be upright."""

import logging
from dataclasses import dataclass

from PIL import Image

__all__ = ["Orientation", "is_agreed", "read_orientation"]

logger = logging.getLogger(__name__)

_TAG = 0x0112
_WIDTH, _HEIGHT = 256, 257  # tags of TIFF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Orientation:
    """How a file holds its photo.

    Attributes:
        exif: EXIF's orientation, 1 (upright) to 8.
        stored: (width, height) in pixels, as stored.
    """

    exif: int
    stored: tuple[int, int]

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) in pixels after turning."""
        width, height = self.stored
        return (height, width) if self.exif >= 5 else (width, height)

    def turn(self, image: Image.Image) -> Image.Image:
        """A picture or mask in the stored position, turned as the photo is; itself where nothing is to be turned."""
        return image.transpose(_TURNS[self.exif]) if self.exif in _TURNS else image


def read_orientation(image: Image.Image, what: str) -> Orientation:
    """What a PIL image says of itself; metadata that cannot be read counts as upright, with a warning in the log."""
    try:
        exif = image.getexif().get(_TAG, 1)
    except Exception as error:  # Pillow's parsers raise whatever they like on damaged metadata
        logger.warning("%s: its EXIF cannot be read (%s); the photo is taken as upright", what, error)
        exif = 1
    if getattr(image, "tile", None):  # Pillow turns TIFFs as it decodes them, some versions their size before
        tags = getattr(image, "tag_v2", {})
        stored = (int(tags.get(_WIDTH, image.width)), int(tags.get(_HEIGHT, image.height)))
    else:
        stored = image.size
    return Orientation(exif if exif in _TURNS else 1, stored)


def is_agreed(image: Image.Image) -> bool:
    """Whether every viewer turns a PIL image as `read_orientation` says: nothing turns it, or a JPEG's own EXIF does.

    Orientations in XMP or in the EXIF of other formats, and metadata that are damaged, are followed by some viewers and
    ignored by others.
    """
    own = Image.Exif()
    try:
        turn = image.getexif().get(_TAG, 1)
        own.load(image.info.get("exif", b""))
        return turn not in _TURNS or (image.format in ("JPEG", "MPO") and own.get(_TAG) == turn)
    except Exception:  # as above, where the warning is
        return False
