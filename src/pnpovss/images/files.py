"""Opening photo files: what cannot be one is refused with the reason, before anything is decoded."""

import io
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from pnpovss.errors import ImageError, MissingExtraError, ResourceError
from pnpovss.images.kinds import FORMATS, START, is_avif, is_heic, starts_like, what_it_is
from pnpovss.images.stored import Stored, opened, shown

__all__ = ["MAX_PIXELS", "DamagedPhoto", "open_photo", "refuse_beyond", "unread"]

MAX_PIXELS = 50_000_000  # 8,192 x 6,144: above what most cameras make; each pixel costs some 100 bytes to refine

_pillow_limit = threading.Lock()


class DamagedPhoto(ImageError):
    """A photo that could not be decoded; `cause` is what the decoder said."""

    def __init__(self, what: str, cause: Exception) -> None:
        self.cause = str(cause) or type(cause).__name__
        super().__init__(f"{what} is damaged or incomplete ({self.cause}); get a complete copy")


def unread(what: str, error: Exception, size: tuple[int, int] | None = None) -> DamagedPhoto | ResourceError:
    """What it means that a decoder raised: the photo is damaged, or, where memory ran out, nothing about the photo.

    Args:
        what: the photo, for messages.
        error: what the decoder raised; Pillow's own codecs tell of memory in words alone.
        size: width and height in pixels, where they are known.
    """
    if not (isinstance(error, MemoryError) or "out of memory" in str(error)):
        return DamagedPhoto(what, error)
    pixels = f" ({size[0]:,} x {size[1]:,} pixels)" if size else ""
    return ResourceError(
        f"{what} does not fit in memory{pixels}; free memory (on the command line: fewer --workers, or --dtype "
        f"bfloat16), or make it smaller"
    )


@contextmanager
def open_photo(stored: Stored, content: io.BytesIO | None = None) -> Iterator[Image.Image]:
    """A stored photo, its header read, its pixels not yet.

    Args:
        stored: the file, or its content.
        content: what to read instead, such as a mended copy.

    Raises:
        ImageError: missing, unreadable, or no photo.
        MissingExtraError: a HEIC photo, without the extra that reads it.
        ResourceError: memory ran out.
    """
    what, start = shown(stored), b""
    _refuse_unreadable(stored, what)
    try:
        with opened(stored) as file:
            start = file.read(START)
        source = content or (io.BytesIO(stored) if isinstance(stored, bytes) else stored)
        image = _open_heic(source, what) if is_heic(start) else _open(source)
    except UnidentifiedImageError as error:
        _refuse_old_pillow(start, what)
        if kind := "AVIF" if is_avif(start) else starts_like(start):
            raise DamagedPhoto(what, ValueError(f"the header of a {kind} photo that cannot be read")) from error
        raise ImageError(f"{what} {what_it_is(stored, start)}") from error
    except PermissionError as error:
        raise ImageError(f"{what} may not be read by this user; change its permissions") from error
    except (ImageError, MissingExtraError):
        raise
    except Exception as error:  # decoders raise whatever they like on damaged data
        raise unread(what, error) from error
    with image:
        _refuse_preview(image, what)
        yield image


def refuse_beyond(image: Image.Image, what: str, max_pixels: int | None) -> None:
    """Refuse what has more pixels than the limit.

    Raises:
        ImageError: it has.
    """
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
        raise ImageError(
            f"{what} has {width:,} x {height:,} = {width * height:,} pixels, more than the limit of {max_pixels:,}; "
            f"make it smaller, or raise the limit (max_pixels=, or --max-pixels of segment and serve)"
        )


def _refuse_unreadable(stored: Stored, what: str) -> None:
    if isinstance(stored, bytes):
        if not stored:
            raise ImageError(f"{what} is empty (0 bytes); get a complete copy")
        return
    try:
        status = stored.stat()
    except FileNotFoundError as error:
        raise ImageError(f"{what} does not exist; check the name and the folder") from error
    except UnicodeEncodeError as error:
        raise ImageError(f"{what} cannot be opened: it holds characters that no file name has") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ImageError(f"{what} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{what} is a folder; name a photo in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{what} is a device or pipe; save the photo to a file first")
    if status.st_size == 0:
        raise ImageError(f"{what} is empty (0 bytes); get a complete copy")


def _open(content: Path | IO[bytes]) -> Image.Image:
    Image.init()
    with _without_pillow_limit():
        return Image.open(content, formats=[name for name in FORMATS if name in Image.OPEN])


def _open_heic(content: Path | IO[bytes], what: str) -> Image.Image:
    """By the extra's own class: its reader is not registered with Pillow, which is everybody's."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MissingExtraError(f"{what} is a HEIC photo; reading it", "heif") from error
    with _without_pillow_limit():
        return HeifImageFile(content)


def _refuse_old_pillow(start: bytes, what: str) -> None:
    if is_avif(start) and "AVIF" not in Image.OPEN:
        raise ImageError(f"{what} is an AVIF photo, which Pillow reads from version 11.3 on; pip install -U pillow")


def _refuse_preview(image: Image.Image, what: str) -> None:
    """Raw files of cameras are TIFFs whose first picture is a small preview."""
    if image.format == "TIFF" and int(getattr(image, "tag_v2", {}).get(254, 0)) & 1:
        raise ImageError(f"{what} holds a preview before the photo itself, as raw files do; develop it to a JPEG first")


@contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Pillow's own pixel limit is global and fixed; ours is an argument and is checked right after the header."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
