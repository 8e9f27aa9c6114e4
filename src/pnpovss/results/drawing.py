"""Pictures for people: regions laid over the photo, with a legend, and heat maps.

Colours are those of Okabe and Ito, told apart with all common kinds of colour vision; the i-th name has the same colour
in every picture. Each region also has an outline, and the legend says each name in words.
"""

import colorsys
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

__all__ = ["colour", "heat_picture", "palette", "region_picture"]

Rgb = tuple[int, int, int]

# Okabe and Ito (2008), without black, ordered so that the first ones differ most on photos.
_OKABE_ITO: tuple[Rgb, ...] = (
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
    (204, 121, 167),  # purple
    (0, 158, 115),  # green
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (86, 180, 233),  # sky blue
)
_GOLDEN = 0.618034  # hues a golden ratio apart never come close to one another soon

_PAPER, _INK, _FAINT = (255, 255, 255), (32, 32, 32), (130, 130, 130)


def colour(index: int) -> Rgb:
    """RGB of the name at this position, each in [0, 255]."""
    if index < len(_OKABE_ITO):
        return _OKABE_ITO[index]
    extra = index - len(_OKABE_ITO)
    red, green, blue = colorsys.hls_to_rgb((0.1 + extra * _GOLDEN) % 1, (0.4, 0.65, 0.5)[extra % 3], 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)


def palette(names: int) -> UInt8[np.ndarray, "label 3"]:
    """RGB by label: black for the background, then a colour a name."""
    return np.array([(0, 0, 0), *(colour(i) for i in range(names))], np.uint8)


def region_picture(
    photo: Image.Image, labels: Integer[np.ndarray, "h w"], names: Sequence[str], shares: Sequence[float]
) -> Image.Image:
    """The photo with each name's region tinted and outlined, over a legend.

    Args:
        photo: RGB, of the labels' size.
        labels: 0 is the background, i + 1 the i-th name.
        names: what the legend says.
        shares: of the pixels, in [0, 1], shown in the legend; a name with none is shown as not found.
    """
    colours = palette(len(names))
    pixels = np.asarray(photo, np.float32)
    tinted = np.where((labels > 0)[..., None], 0.5 * pixels + 0.5 * colours[labels], pixels)
    outline = _outline(labels, max(1, round(min(labels.shape) / 250)))
    tinted[outline] = 0.5 * 255 + 0.5 * colours[labels[outline]]  # a lighter shade of the region's own colour
    entries = [(colour(i), name, share) for i, (name, share) in enumerate(zip(names, shares, strict=True))]
    return _stack(Image.fromarray(tinted.round().astype(np.uint8)), _legend(photo.size, entries))


def heat_picture(photo: Image.Image, heat: Float[np.ndarray, "h w"], name: str) -> Image.Image:
    """The photo in gray under a heat map (dark blue to yellow, 0 to the map's maximum), over a line that names it.

    Args:
        photo: RGB, of the map's size.
        heat: non-negative; a map that is 0 everywhere leaves the photo gray.
        name: what was looked for.
    """
    gray = np.asarray(photo.convert("L"), np.float32)[..., None]
    top = float(heat.max(initial=0))
    if top > 0:
        levels = np.clip(heat / top * 255, 0, 255).astype(np.uint8)
        warm = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1].astype(np.float32)
        gray = 0.35 * gray + 0.65 * warm
    picture = Image.fromarray(np.broadcast_to(gray, (*heat.shape, 3)).round().astype(np.uint8))
    return _stack(picture, _caption(photo.size, name, "highest" if top > 0 else "nothing found"))


def _outline(labels: Integer[np.ndarray, "h w"], width: int) -> np.ndarray:
    """Bool "h w": pixels of a name within `width` pixels of another label."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    values = labels.astype(np.uint16)  # what OpenCV dilates
    edge = (cv2.dilate(values, kernel) != values) | (cv2.erode(values, kernel) != values)
    return edge & (labels > 0)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size)


def _text_size(photo: tuple[int, int]) -> int:
    """Letters of 3% of the photo's longer side, legible also on tiny photos [px]."""
    return max(14, round(0.03 * max(photo)))


def _elided(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _legend(photo: tuple[int, int], entries: Sequence[tuple[Rgb, str, float]]) -> Image.Image:
    """Swatch, name and share of each entry, in as many lines as it takes."""
    size = _text_size(photo)
    font, small = _font(size), _font(round(size * 0.85))
    line, gap, swatch = round(size * 1.7), round(size * 0.5), size
    width = max(photo[0], 12 * size)
    places, x, y = [], gap, gap // 2
    for rgb, name, share in entries:
        note = _percent(share)
        room = width - 3 * gap - swatch - small.getlength(note) - gap
        name = _elided(name, font, room)
        extent = swatch + gap + font.getlength(name) + gap + small.getlength(note) + 2 * gap
        if x > gap and x + extent - 2 * gap > width:
            x, y = gap, y + line
        places.append((x, y, rgb, name, note, share))
        x += round(extent)
    strip = Image.new("RGB", (width, y + line + gap // 2), _PAPER)
    draw = ImageDraw.Draw(strip)
    for x, y, rgb, name, note, share in places:
        middle = y + line // 2
        box = (x, middle - swatch // 2, x + swatch, middle + swatch // 2)
        draw.rectangle(box, fill=rgb if share > 0 else _PAPER, outline=rgb, width=max(1, size // 10))
        ink = _INK if share > 0 else _FAINT
        draw.text((x + swatch + gap, middle), name, ink, font, anchor="lm")
        draw.text((x + swatch + 2 * gap + font.getlength(name), middle), note, _FAINT, small, anchor="lm")
    return strip


def _percent(share: float) -> str:
    if share == 0:
        return "not found"
    return "< 1%" if share < 0.01 else f"{share:.0%}"


def _caption(photo: tuple[int, int], name: str, end: str) -> Image.Image:
    """The name, and the colour scale from 0 to its end."""
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


def _stack(picture: Image.Image, strip: Image.Image) -> Image.Image:
    """One above the other, the picture in the middle where the strip is wider."""
    whole = Image.new("RGB", (strip.width, picture.height + strip.height), _PAPER)
    whole.paste(picture, ((strip.width - picture.width) // 2, 0))
    whole.paste(strip, (0, picture.height))
    return whole
