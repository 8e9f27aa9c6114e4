"""Large pictures a few rows at a time, so that conversions need no second copy of the whole."""

from collections.abc import Iterator

from PIL import Image

__all__ = ["rows_per_strip", "strips"]

_PIXELS = 1 << 21


def rows_per_strip(width: int) -> int:
    """Rows that hold about two million pixels."""
    return max(1, _PIXELS // max(1, width))


def strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, these rows as a picture of their own) from top to bottom."""
    rows = rows_per_strip(image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))
