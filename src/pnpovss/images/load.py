"""The door: a file, a PIL image or an array in, an upright 8-bit sRGB picture out."""

import io
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from pnpovss.errors import ImageError
from pnpovss.images.arrays import from_array
from pnpovss.images.depth import told_by_container
from pnpovss.images.files import MAX_PIXELS, DamagedPhoto, open_photo, refuse_beyond, unread
from pnpovss.images.jpeg import refuse_endless
from pnpovss.images.metadata import without_metadata
from pnpovss.images.orientation import Orientation, is_agreed, read_orientation
from pnpovss.images.rgb import to_rgb
from pnpovss.images.stored import Stored, shown

__all__ = ["ImageSource", "Upright", "load_image", "load_upright", "orientation_of"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray


@dataclass(frozen=True)
class Upright:
    """A photo as it is segmented.

    Attributes:
        image: upright, 8-bit sRGB.
        agreed: whether every viewer turns it so; others may show a photo whose metadata only some follow lying down.
    """

    image: Image.Image
    agreed: bool


def load_image(source: ImageSource, *, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """A photo as an upright 8-bit sRGB picture.

    Files are turned as their EXIF orientation says; colours with an ICC profile are converted to sRGB; transparency is
    laid on white, as viewers show it; of a file with several frames or pages the first is taken, with a warning in the
    log, of a PIL image the frame it stands at. Nothing that is handed over is changed. Samples of more than 8 bits are
    brought to 8, with white where the file says it is; metadata that cannot be read is ignored, with a warning.

    Memory: about 8 bytes per pixel, beside what the source holds itself.

    Args:
        source: a file, a file's content (bytes), a PIL image of any mode, or an array: "h w" or "h w c" with 1 (gray),
            3 (RGB) or 4 (RGBA) channels, uint8 in [0, 255], bool, or floating point in [0, 1].
        max_pixels: files with more pixels are refused before they are decoded; None accepts any size.

    Raises:
        ImageError: missing, unreadable, damaged, too large, or no photo; an array of another kind or range; samples of
            more than 8 bits that do not tell which value is white.
        MissingExtraError: a HEIC photo, without the extra that reads it.
        ResourceError: memory ran out.
    """
    return load_upright(source, max_pixels=max_pixels).image


def load_upright(source: ImageSource, *, max_pixels: int | None = MAX_PIXELS) -> Upright:
    """As `load_image`, and whether other viewers show the photo turned like that."""
    if isinstance(source, Image.Image):
        return _from_picture(source, max_pixels)
    if isinstance(source, np.ndarray):
        return Upright(to_rgb(from_array(source), "the array"), agreed=True)
    stored = _stored(source)
    return _despite_metadata(stored, lambda content: _from_file(stored, content, max_pixels))


def orientation_of(source: ImageSource, *, max_pixels: int | None = MAX_PIXELS) -> Orientation:
    """How a source holds its photo: the size in pixels that is stored, and how it has to be turned to be upright.

    A mask that was drawn on the stored pixels fits the photo that `load_image` gives after `Orientation.turn`.

    Raises:
        ImageError: as `load_image`, except for damage after the header.
        MissingExtraError: as `load_image`.
        ResourceError: as `load_image`.
    """
    if isinstance(source, Image.Image):
        return read_orientation(source, "the image")
    if isinstance(source, np.ndarray):
        return Orientation(1, from_array(source).size)
    stored = _stored(source)
    return _despite_metadata(stored, lambda content: _turned(stored, content, max_pixels))


def _stored(source: object) -> Stored:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str | os.PathLike):
        kind = "None" if source is None else f"{type(source).__module__}.{type(source).__name__}"
        raise ImageError(f"a photo is a file name, a file's content, a PIL image or a NumPy array, got {kind}")
    return Path(os.fsdecode(source))


def _from_picture(image: Image.Image, max_pixels: int | None) -> Upright:
    """A PIL image of the caller's: the frame it stands at, and not a pixel of it changed."""
    what = "the image"
    if getattr(image, "tile", None):  # opened by the caller, but not decoded yet
        refuse_beyond(image, what, max_pixels)
    try:
        return _decoded(image, what)
    except DamagedPhoto as error:
        raise ImageError(
            f"the image cannot be read ({error.cause}); hand it over open and whole, or the name of its file"
        ) from error


def _despite_metadata(stored: Stored, read: Callable[[io.BytesIO | None], T]) -> T:
    """Read a photo as it is; where that fails, without its metadata."""
    try:
        return read(None)
    except DamagedPhoto as damage:
        rest = without_metadata(stored)
        if rest is None:
            raise
        try:
            found = read(io.BytesIO(rest))
        except DamagedPhoto:
            raise damage from None
        logger.warning("%s has metadata that is damaged or too large (%s); it is ignored", shown(stored), damage.cause)
        return found


def _from_file(stored: Stored, content: io.BytesIO | None, max_pixels: int | None) -> Upright:
    what = shown(stored)
    with open_photo(stored, content) as image:
        refuse_beyond(image, what, max_pixels)
        photo = _decoded(image, what)
        _warn_of_frames(image, what)
        return photo if content is None else Upright(photo.image, agreed=False)  # others may follow what was left out


def _turned(stored: Stored, content: io.BytesIO | None, max_pixels: int | None) -> Orientation:
    with open_photo(stored, content) as image:
        refuse_beyond(image, shown(stored), max_pixels)  # a PNG may tell how it is turned behind its pixels
        return read_orientation(image, shown(stored))


def _decoded(image: Image.Image, what: str) -> Upright:
    try:
        told = told_by_container(image)
        refuse_endless(image, what)
        image.load()
        if 0 in image.size:
            raise ImageError(f"{what} has no pixels ({image.width} x {image.height})")
        upright = read_orientation(image, what).turn(image)
        rgb = to_rgb(upright, what, told)
    except ImageError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged data
        raise unread(what, error, image.size) from error
    return Upright(rgb, is_agreed(image))


def _warn_of_frames(image: Image.Image, what: str) -> None:
    """After the pixels are taken, since looking for further frames moves the file on."""
    if image.format == "MPO":  # a photo and its previews
        return
    try:
        several = getattr(image, "is_animated", False)
    except Exception:  # as above; a damaged second frame is no loss
        return
    if several and image.format in ("TIFF", "HEIF"):
        logger.warning("%s holds several pictures; only the first is used", what)
    elif several:
        logger.warning("%s is an animation; only its first frame is used", what)
