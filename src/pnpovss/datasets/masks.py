"""Index masks as benchmarks store them: one channel, a pixel's value its class."""

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer
from PIL import Image, UnidentifiedImageError

from pnpovss.errors import DatasetError, ImageError
from pnpovss.images import Orientation, as_stored, orientation_of

__all__ = ["Exif", "laid_upright", "read_mask"]

Exif = Literal["upright", "stored"]

_MODES = {"P": np.uint8, "L": np.uint8, "1": np.uint8, "I;16": np.uint16, "I;16B": np.uint16}
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises on damaged data


def read_mask(path: Path, photo: Path, exif: Exif | None = None) -> Integer[np.ndarray, "h w"]:
    """The values of a mask over the upright photo, uint8 or uint16, as they are stored; palettes are left alone.

    Many cameras store a photo lying or upside down and note in its EXIF how to turn it. Photos are always turned; a
    mask drawn by a program that shows photos upright fits them, one made from the pixels as stored has to be turned,
    too. The sizes tell which it is where width and height are swapped, and not where a photo is upside down, mirrored
    or square: then `exif` has to say it.

    Args:
        path: a PNG of mode P (palette), L (gray, of 2 or 4 bits too), 1 (black and white) or I;16 (16-bit gray).
        photo: what it masks; the sizes must agree.
        exif: masks lie "upright", as photos are shown, or "stored", as their pixels are in the file.

    Raises:
        DatasetError: missing, damaged, of another mode, or of another size than the photo; or a photo that is turned
            by EXIF, with sizes that do not tell how the mask lies.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _MODES:
                raise DatasetError(
                    f"{path} has mode {image.mode} with {len(image.getbands())} channels; a mask has one channel whose "
                    f"values are class ids (modes {', '.join(_MODES)}). A picture in the classes' colours has to be "
                    f"converted to ids first"
                )
            return np.asarray(laid_upright(as_stored(image), path, photo, exif)).astype(_MODES[image.mode])
    except FileNotFoundError as error:
        raise DatasetError(f"mask {path} does not exist; {photo.name} has no truth without it") from error
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} is no image; a mask is a PNG of class ids") from error
    except _DAMAGE as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"mask {path} is damaged or cannot be read ({error}); get a complete copy") from error


def laid_upright(mask: Image.Image, path: Path, photo: Path, exif: Exif | None = None) -> Image.Image:
    """A mask that was opened, as it lies over the upright photo; see `read_mask`.

    Raises:
        DatasetError: another size than the photo's, or sizes that do not tell how it lies; or the photo cannot be read.
    """
    orientation = _orientation(photo, path)
    return orientation.turn(mask) if _lies_as_stored(path, mask.size, photo, orientation, exif) else mask


def _orientation(photo: Path, mask: Path) -> Orientation:
    try:
        return orientation_of(photo)
    except ImageError as error:
        raise DatasetError(f"{error} (the mask {mask.name} is for it)") from error


def _lies_as_stored(mask: Path, size: tuple[int, int], photo: Path, held: Orientation, exif: Exif | None) -> bool:
    """Whether a mask has to be turned as its photo is; refuses a size that fits neither way."""
    fitting = [how for how, other in (("upright", held.upright), ("stored", held.stored)) if size == other]
    if exif is not None:
        fitting = [how for how in fitting if how == exif]
    if not fitting:
        raise DatasetError(
            f"mask {mask} is {size[0]} x {size[1]} pixels, its photo {photo.name} is {_told(held, exif)}; they must "
            f"have the same size"
        )
    if held.exif != 1 and len(fitting) > 1:
        raise DatasetError(
            f"photo {photo} is turned by its EXIF (orientation {held.exif}), and the size of mask {mask.name} does not "
            f"tell how the mask lies; say whether masks lie upright, as photos are shown, or as the pixels are stored: "
            f"--exif upright or --exif stored (in Python, exif=)"
        )
    return held.exif != 1 and fitting == ["stored"]


def _told(held: Orientation, exif: Exif | None) -> str:
    """The size of a photo, in words."""
    upright, stored = (f"{width} x {height}" for width, height in (held.upright, held.stored))
    if held.exif == 1:
        return upright
    turned = f"{upright} as its EXIF turns it (orientation {held.exif})"
    whole = {"upright": turned, "stored": f"{stored} as stored", None: f"{stored} as stored and {turned}"}
    return whole[exif]
