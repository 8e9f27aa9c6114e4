"""The strips below pictures: which colour is which name, and what a heat map's colours mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pnpovss.printable import printable
from pnpovss.results.colours import Rgb, colour

__all__ = ["Entry", "caption", "entry", "legend", "percent", "under", "write_numbers"]

_PAPER, _INK, _FAINT = (255, 255, 255), (32, 32, 32), (130, 130, 130)
_LONGEST = 200  # letters of a name that are tried; no legend has room for more


@dataclass(frozen=True)
class Entry:
    """A name in a legend, in its colour.

    Attributes:
        name: what was asked for.
        note: what became of it, in a few letters.
        drawn: whether it has pixels; it is greyed otherwise.
    """

    name: str
    note: str
    drawn: bool


def entry(name: str, share: float, *, kept: bool, match: float | None) -> Entry:
    """What a legend says of a name.

    Args:
        name: what was asked for.
        share: of the pixels, in [0, 1].
        kept: whether it was looked for at all; one that was not is called absent, with its match score.
        match: probability in [0, 1] that it is in the photo, if known.
    """
    if kept:
        return Entry(name, percent(share), share > 0)
    return Entry(name, "left out" if match is None else f"absent, match {match:.2f}", False)


def percent(share: float) -> str:
    """A share of the pixels, in [0, 1], as people read it."""
    if share == 0:
        return "not found"
    return "< 1%" if share < 0.01 else f"{share:.0%}"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size)


def _text_size(photo: tuple[int, int]) -> int:
    """Letters of 3% of the photo's longer side, legible also on tiny photos [px].

    Of photos more than four times as long as wide an eighth of the shorter side: strips are 12 or 16 letters wide, and
    neither these nor their lines may outgrow the photo.
    """
    return max(14, min(round(0.03 * max(photo)), min(photo) // 8))


def _elided(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """A text, harmless to show and with its end cut off where it is too wide."""
    text = printable(text[:_LONGEST])
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def legend(photo: tuple[int, int], entries: Sequence[Entry]) -> Image.Image:
    """Swatch, name and note of each entry, in as many lines as it takes; the i-th has the i-th name's colour.

    Args:
        photo: (width, height) of the picture that it goes below [px].
        entries: all names, in the order asked.
    """
    size = _text_size(photo)
    font, small = _font(size), _font(round(size * 0.85))
    line, gap, swatch = round(size * 1.7), round(size * 0.5), size
    width = max(photo[0], 12 * size)
    places, x, y = [], gap, gap // 2
    for each in entries:
        room = width - 3 * gap - swatch - small.getlength(each.note) - gap
        name = _elided(each.name, font, room)
        extent = swatch + gap + font.getlength(name) + gap + small.getlength(each.note) + 2 * gap
        if x > gap and x + extent - 2 * gap > width:
            x, y = gap, y + line
        places.append((x, y, name))
        x += round(extent)
    strip = Image.new("RGB", (width, y + line + gap // 2), _PAPER)
    draw = ImageDraw.Draw(strip)
    for i, (each, (x, y, name)) in enumerate(zip(entries, places, strict=True)):
        middle = y + line // 2
        _swatch(draw, (x, middle), size, colour(i), filled=each.drawn)
        draw.text((x + swatch + gap, middle), name, _INK if each.drawn else _FAINT, font, anchor="lm")
        draw.text((x + swatch + 2 * gap + font.getlength(name), middle), each.note, _FAINT, small, anchor="lm")
    return strip


def _swatch(draw: ImageDraw.ImageDraw, place: tuple[int, int], size: int, rgb: Rgb, *, filled: bool) -> None:
    """A square of a colour, or its outline, its left side's middle at `place`."""
    x, middle = place
    box = (x, middle - size // 2, x + size, middle + size // 2)
    draw.rectangle(box, fill=rgb if filled else _PAPER, outline=rgb, width=max(1, size // 10))


def caption(photo: tuple[int, int], name: str, end: str) -> Image.Image:
    """The name, and the colour scale from 0 to its end.

    Args:
        photo: (width, height) of the picture that it goes below [px].
        name: what was looked for.
        end: what the other end of the scale is; there is a scale only if it is "highest".
    """
    size = _text_size(photo)
    font, small = _font(size), _font(round(size * 0.85))
    line, gap, bar = round(size * 1.7), round(size * 0.5), 5 * size
    width = max(photo[0], 16 * size)
    strip = Image.new("RGB", (width, line + gap), _PAPER)
    draw = ImageDraw.Draw(strip)
    middle = strip.height // 2
    right = width - gap - small.getlength(end)
    draw.text((right, middle), end, _FAINT, small, anchor="lm")
    left = right - gap
    if end == "highest":
        ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_VIRIDIS)[..., ::-1]
        left -= bar
        strip.paste(Image.fromarray(np.ascontiguousarray(ramp)).resize((bar, size)), (round(left), middle - size // 2))
        left -= gap + small.getlength("0")
        draw.text((left, middle), "0", _FAINT, small, anchor="lm")
    draw.text((gap, middle), _elided(name, font, left - 2 * gap), _INK, font, anchor="lm")
    return strip


def under(picture: Image.Image, strip: Image.Image) -> Image.Image:
    """One above the other, the picture in the middle where the strip is wider."""
    whole = Image.new("RGB", (strip.width, picture.height + strip.height), _PAPER)
    whole.paste(picture, ((strip.width - picture.width) // 2, 0))
    whole.paste(strip, (0, picture.height))
    return whole


def write_numbers(picture: Image.Image, places: Sequence[tuple[int, int]]) -> None:
    """Write 1, 2, ... on a picture, each with its middle at a place (x, y in pixels), legible on any colour."""
    size = _text_size(picture.size)
    draw = ImageDraw.Draw(picture)
    for number, place in enumerate(places, start=1):
        width = max(1, size // 8)
        draw.text(place, str(number), _PAPER, _font(size), anchor="mm", stroke_width=width, stroke_fill=_INK)
