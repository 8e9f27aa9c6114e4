"""Samples of more than 8 bits, which need to know which value is white.

A 16-bit file says that its samples have 16 bits, and often holds the 10 or 12 of a camera. Where the container tells
(PNG's sBIT, TIFF's BitsPerSample and MaxSampleValue; PGM and JPEG 2000 scale by themselves), its word is taken. Where
it does not, and the brightest value is below a sixteenth of the range, the photo would come out black: it is refused
rather than guessed at. Below a quarter there is a warning.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pnpovss.errors import ImageError
from pnpovss.images.arrays import unit_to_bytes
from pnpovss.images.png import significant_bits
from pnpovss.images.strips import strips

__all__ = ["DEEP_MODES", "UNTOLD", "Depth", "gray_to_bytes", "raw_mode", "refuse_dark", "told_by_container"]

logger = logging.getLogger(__name__)

DEEP_MODES = frozenset(("I", "F", "I;16", "I;16L", "I;16B", "I;16N"))

_FULL = 65535
_BLACK, _DARK = 4096, 16384  # brightest values below which a photo would come out black, and dark
_BITS, _PHOTOMETRIC, _BRIGHTEST = 258, 262, 281  # tags of TIFF


@dataclass(frozen=True)
class Depth:
    """What a container tells of its samples.

    Attributes:
        white: the value of white, where it is told.
        bits: significant bits of each sample, where they are told; a file that follows PNG's standard has scaled them
            to the full range, many have not.
        inverted: whether 0 is white.
        halved: whether the samples have 16 bits, of which Pillow keeps the upper 8.
    """

    white: int | None = None
    bits: int | None = None
    inverted: bool = False
    halved: bool = False


UNTOLD = Depth()


def told_by_container(image: Image.Image) -> Depth:
    """Ask a picture that was opened, but is not decoded yet; of others nothing is known."""
    if not getattr(image, "tile", None):
        return UNTOLD
    halved = image.mode not in DEEP_MODES and ";16" in raw_mode(image)
    if image.format == "TIFF":
        return _told_by_tiff(getattr(image, "tag_v2", {}), halved)
    if image.format == "PNG":
        return Depth(bits=_significant_bits(image), halved=halved)
    return Depth(white=_FULL)


def raw_mode(image: Any) -> str:
    """How Pillow calls the samples of a picture that was opened, but is not decoded yet; "" where it does not say."""
    if not getattr(image, "tile", None):
        return ""
    arguments = image.tile[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _told_by_tiff(tags: Any, halved: bool) -> Depth:
    bits = int(tags.get(_BITS, (8,))[0])
    inverted = tags.get(_PHOTOMETRIC) == 0
    if 8 < bits < 16:
        return Depth((1 << bits) - 1, inverted=inverted)
    brightest = tags.get(_BRIGHTEST)
    largest = max(brightest) if isinstance(brightest, tuple) else brightest
    a_power = isinstance(largest, int) and 255 < largest < _FULL and largest & (largest + 1) == 0
    return Depth(largest if a_power else None, inverted=inverted, halved=halved)


def _significant_bits(image: Any) -> int | None:
    place = image.fp.tell()
    try:
        return significant_bits(image.fp)
    finally:
        image.fp.seek(place)


def gray_to_bytes(image: Image.Image, what: str, told: Depth) -> Image.Image:
    """A gray picture of more than 8 bits as one of mode L.

    Raises:
        ImageError: which value is white is not told, or floats outside [0, 1].
    """
    if image.mode == "F":
        return Image.fromarray(unit_to_bytes(np.asarray(image)))
    white = _white(image, what, told)
    hidden = image.info.get("transparency")
    gray = Image.new("L", image.size)
    for top, strip in strips(image):
        values = np.asarray(strip)
        level = _level(values, white)
        level = 255 - level if told.inverted else level
        if isinstance(hidden, int):
            level[values == hidden] = 255
        gray.paste(Image.fromarray(level), (0, top))
    return gray


def refuse_dark(image: Image.Image, what: str, told: Depth) -> None:
    """As for grays, where Pillow has kept the upper 8 bits of colours of 16.

    Raises:
        ImageError: hardly anything is left of them.
    """
    if told.halved:
        bands = np.reshape(image.getextrema(), (-1, 2))[: 3 if image.mode.startswith("RGB") else 1]
        _weigh(int(bands.max()) * 256 + 255, what)


def _white(image: Image.Image, what: str, told: Depth) -> int:
    low, high = _extremes(image)
    if low < 0 or high > _FULL:
        raise ImageError(
            f"{what} has 32-bit grays from {low} to {high} and does not say which value is white; save it in 8 bits"
        )
    if told.white is not None and high <= told.white:
        return told.white
    if told.bits is not None and told.bits < 16:
        return (1 << told.bits) - 1 if _is_unscaled(image, high, told.bits) else _FULL
    if high > 0:
        _weigh(high, what)
    return _FULL


def _weigh(high: int, what: str) -> None:
    if high < _BLACK:
        bits = next(bits for bits in (8, 10, 12) if high < 1 << bits)
        raise ImageError(
            f"{what} has samples of 16 bits, none above {high:,} of 65,535, and does not say which value is white; "
            f"taken as it is, it would be black. If white is {(1 << bits) - 1:,} ({bits} bits), multiply its samples "
            f"by {1 << 16 - bits}, or hand over an array of floats: samples / {(1 << bits) - 1}"
        )
    if high < _DARK:
        logger.warning(
            "%s is dark: its samples of 16 bits reach %s of 65,535. If they were made with 14 bits or fewer, "
            "multiply them by 4 and more",
            what,
            f"{high:,}",
        )


def _is_unscaled(image: Image.Image, high: int, bits: int) -> bool:
    """Whether samples of so many bits were stored as they are, against the standard.

    Scaled ones repeat their upper bits in the lower ones; below 2^bits these are 0.
    """
    rest = (1 << 16 - bits) - 1
    return high < 1 << bits and any((np.asarray(strip) & rest).any() for _, strip in strips(image))


def _extremes(image: Image.Image) -> tuple[int, int]:
    found = [
        (int(values.min()), int(values.max())) for values in map(np.asarray, (strip for _, strip in strips(image)))
    ]
    return min(low for low, _ in found), max(high for _, high in found)


def _level(values: np.ndarray, white: int) -> UInt8[np.ndarray, "h w"]:
    """The upper 8 bits of 16, or the nearest of 256 steps up to another white."""
    if white == _FULL:
        return (values >> 8).astype(np.uint8)
    return ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
