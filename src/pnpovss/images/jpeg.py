"""JPEGs that would take minutes: a few kilobytes may ask for the whole picture to be gone over a thousand times."""

from typing import IO

from PIL import Image

from pnpovss.errors import ImageError

__all__ = ["refuse_endless"]

_SCANS = 20  # progressive photos have about ten
_VISITS = 1_000_000_000  # of pixels; some seconds
_BLOCK = 1 << 20
_START_OF_SCAN = b"\xff\xda"  # escaped where it stands for pixels


def refuse_endless(image: Image.Image, what: str) -> None:
    """Refuse a JPEG of more scans over its pixels than any photo has; it is opened, but not decoded yet.

    Raises:
        ImageError: it has.
    """
    file = getattr(image, "fp", None)
    if image.format not in ("JPEG", "MPO") or file is None:
        return
    scans, pixels = _count(file), image.width * image.height
    if scans > _SCANS and scans * pixels > _VISITS:
        raise ImageError(f"{what} goes over its {pixels:,} pixels {scans:,} times, as no photo does; save it anew")


def _count(file: IO[bytes]) -> int:
    place, found, last = file.tell(), 0, b""
    file.seek(0)
    while block := file.read(_BLOCK):
        found += (last + block).count(_START_OF_SCAN)
        last = block[-1:]
    file.seek(place)
    return found
