"""Photos in, whatever they come as: always an upright 8-bit RGB picture out, or an error that says why not."""

import logging
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pnpovss.errors import ImageError

__all__ = ["MAX_PIXELS", "PHOTO_SUFFIXES", "ImageSource", "load_image"]

logger = logging.getLogger(__name__)

ImageSource = str | os.PathLike[str] | Image.Image | np.ndarray

MAX_PIXELS = 50_000_000  # 8,192 x 6,144: above what most cameras make; each pixel costs some 100 bytes to refine

# Formats of photos. Left out on purpose: EPS, which would run Ghostscript, and what holds drawings or scientific data.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
PHOTO_SUFFIXES = frozenset(
    ".avif .bmp .gif .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pgm .png .ppm .tga .tif .tiff .webp".split()
)

# What Pillow's decoders raise on damaged data.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, struct.error)

_pillow_limit = threading.Lock()


def load_image(source: ImageSource, *, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """A photo as an upright 8-bit RGB picture.

    Files are turned as their EXIF orientation says; transparency is laid on white, as viewers show it; of an animation
    the first frame is taken, with a warning in the log; 16-bit grays keep their upper 8 bits.

    Args:
        source: a file, a PIL image of any mode, or an array: "h w" or "h w c" with 1 (gray), 3 (RGB) or 4 (RGBA)
            channels, uint8 in [0, 255], bool, or floating point in [0, 1].
        max_pixels: files with more pixels are refused before they are decoded; None accepts any size.

    Raises:
        ImageError: missing, unreadable, damaged, too large, or no photo; or an array of another kind or range.
    """
    if isinstance(source, Image.Image):
        if getattr(source, "tile", None):  # opened by the caller, but not decoded yet
            _refuse_beyond(source, "the image", max_pixels)
        return _decode(source, "the image")
    if isinstance(source, np.ndarray):
        return _rgb(_from_array(source))
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source), max_pixels)
    raise ImageError(
        f"a photo is a file name, a PIL image or a NumPy array, got {type(source).__module__}.{type(source).__name__}"
    )


def _from_file(path: Path, max_pixels: int | None) -> Image.Image:
    _refuse_unreadable(path)
    try:
        with _without_pillow_limit():
            image = Image.open(path, formats=_readable_formats())
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is no photo: {_guess(path)}; give a JPEG, PNG, TIFF, WebP or the like") from error
    except PermissionError as error:
        raise ImageError(f"{path} may not be read by this user; change its permissions") from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    with image:
        _refuse_beyond(image, str(path), max_pixels)
        return _decode(image, str(path))


def _refuse_unreadable(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist; check the name and the folder") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ImageError(f"{str(path)!r} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{path} is a folder; name a photo in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path} is a device or pipe; save the photo to a file first")
    if status.st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); get a complete copy")


def _readable_formats() -> list[str]:
    """Those of `_FORMATS` that this build of Pillow reads; AVIF came late."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


@contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Pillow's own pixel limit is global and fixed; ours is an argument and is checked right after the header."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _refuse_beyond(image: Image.Image, what: str, max_pixels: int | None) -> None:
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
        raise ImageError(
            f"{what} has {width:,} x {height:,} = {width * height:,} pixels, more than the limit of {max_pixels:,}; "
            f"make it smaller, or raise the limit (max_pixels=, on the command line --max-pixels)"
        )


def _decode(image: Image.Image, what: str) -> Image.Image:
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a photo and its previews
        logger.warning("%s is an animation; only its first frame is used", what)
        image.seek(0)
    try:
        upright = ImageOps.exif_transpose(image)
    except MemoryError as error:
        raise ImageError(f"{what} does not fit in memory ({image.width:,} x {image.height:,} pixels)") from error
    except _DAMAGE as error:
        raise _damaged(what, error) from error
    if 0 in upright.size:
        raise ImageError(f"{what} has no pixels ({upright.width} x {upright.height})")
    return _rgb(upright)


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; whatever is transparent is laid on white."""
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint16)
        return Image.fromarray((gray >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return _rgb(_from_deep_gray(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_deep_gray(values: np.ndarray) -> Image.Image:
    """32-bit grays: Pillow's name for 16-bit ones of some formats (integer), or values in [0, 1] (float)."""
    if values.dtype.kind == "f":
        return _from_array(values)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535 or high < 256:
        raise ImageError(
            f"a 32-bit gray image with values from {low} to {high} does not say which value is white; save it in 8 bits"
        )
    return Image.fromarray((values >> 8).astype(np.uint8))


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; channels come last, so transpose(1, 2, 0)" if channels_first else ""
        raise ImageError(
            f"an image array is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got shape {tuple(array.shape)}{hint}"
        )
    if 0 in array.shape:
        raise ImageError(f"an image array needs at least one pixel, got shape {tuple(array.shape)}")
    return Image.fromarray(np.ascontiguousarray(_as_uint8(array)))


def _as_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype.kind != "f":
        raise ImageError(
            f"an image array is uint8 in [0, 255], bool, or float in [0, 1], got {array.dtype}; convert it"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also where either is NaN
        raise ImageError(
            f"a floating point image array holds values in [0, 1], got {low:g} to {high:g}; "
            f"scale it, or convert it to uint8 if its values are in [0, 255]"
        )
    return np.rint(array * 255).astype(np.uint8)


def _damaged(what: Any, error: Exception) -> ImageError:
    return ImageError(f"{what} is damaged or incomplete ({error}); get a complete copy")


def _guess(path: Path) -> str:
    """What a file that is no photo seems to be, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(64)
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        return "it is a HEIC photo, which has to be converted first"
    if start.startswith(b"%PDF"):
        return "it is a PDF document"
    try:
        return f"it seems to be text, starting with {start.decode('utf-8')[:24]!r}"
    except UnicodeDecodeError:
        return f"it starts with the bytes {start[:8].hex(' ')}"
