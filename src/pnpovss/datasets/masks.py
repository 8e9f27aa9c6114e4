"""Index masks as benchmarks store them: one channel, a pixel's value its class."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer
from PIL import Image, UnidentifiedImageError

from pnpovss.errors import DatasetError

__all__ = ["read_mask"]

_MODES = {"P": np.uint8, "L": np.uint8, "1": np.uint8, "I;16": np.uint16, "I;16B": np.uint16}
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = range(5, 9)  # the orientations that swap width and height


def read_mask(path: Path, photo: Path) -> Integer[np.ndarray, "h w"]:
    """The values of a mask, uint8 or uint16, palettes left alone.

    Args:
        path: a PNG of mode P (palette), L (gray), 1 (black and white) or I;16 (16-bit gray).
        photo: what it masks; the sizes must agree.

    Raises:
        DatasetError: missing, damaged, of another mode, or of another size than the photo.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _MODES:
                raise DatasetError(
                    f"{path} has mode {image.mode} with {len(image.getbands())} channels; a mask has one channel whose "
                    f"values are class ids (modes {', '.join(_MODES)}). A picture in the classes' colours has to be "
                    f"converted to ids first"
                )
            values = np.asarray(image).astype(_MODES[image.mode])
    except FileNotFoundError as error:
        raise DatasetError(f"mask {path} does not exist; {photo.name} has no truth without it") from error
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} is no image; a mask is a PNG of class ids") from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise on damaged data
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"mask {path} is damaged or cannot be read ({error}); get a complete copy") from error
    _refuse_other_size(path, values.shape, photo)
    return values


def _refuse_other_size(path: Path, shape: tuple[int, ...], photo: Path) -> None:
    try:
        with Image.open(photo) as image:
            width, height = image.size
            if image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS:
                width, height = height, width
    except FileNotFoundError as error:
        raise DatasetError(f"photo {photo} does not exist; the mask {path} is for it") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"photo {photo} is damaged or no image ({error}); get a complete copy") from error
    if shape != (height, width):
        raise DatasetError(
            f"mask {path} is {shape[1]} x {shape[0]} pixels, its photo {photo.name} is {width} x {height}; "
            f"they must have the same size"
        )
