"""Pictures of a result: label maps with a palette, regions laid over the photo, heat maps.

The i-th name has the same colour in every picture. Each region also has an outline, and the legend says each name in
words. Photos are blended in bands of rows and in 8 bits, so that large ones take little memory and time.
"""

import io
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pnpovss.files.json import to_json
from pnpovss.results.colours import palette
from pnpovss.results.labels import label_dtype
from pnpovss.results.legend import Entry, caption, legend, under, write_numbers
from pnpovss.results.regions import inner_point

__all__ = ["heat_picture", "label_picture", "label_png", "png_file", "region_picture", "tinted"]

_BAND = 1 << 20  # pixels blended at a time


def label_picture(labels: Integer[np.ndarray, "h w"], names: int) -> Image.Image:
    """The label map as a picture: one byte per pixel, with a palette; 16-bit gray beyond 255 names."""
    picture = Image.fromarray(labels.astype(label_dtype(names), copy=False))
    if picture.mode == "L":
        picture.putpalette(palette(names).tobytes())
    return picture


def label_png(labels: Integer[np.ndarray, "h w"], names: Sequence[str], software: str) -> bytes:
    """`label_picture` as a file; its text fields "names" (JSON, by label from 0) and "software" say what it means."""
    info = PngInfo()
    info.add_itxt("names", to_json(["background", *names]).decode())
    info.add_text("software", software)
    file = io.BytesIO()
    label_picture(labels, len(names)).save(file, "PNG", pnginfo=info, optimize=True)
    return file.getvalue()


def region_picture(
    photo: Image.Image,
    labels: Integer[np.ndarray, "h w"],
    entries: Sequence[Entry],
    things: Integer[np.ndarray, "h w"] | None = None,
) -> Image.Image:
    """The photo with each name's region tinted and outlined, over a legend.

    Args:
        photo: RGB, of the labels' size.
        labels: 0 is the background, i + 1 the i-th name.
        entries: what the legend says of each name.
        things: 0 belongs to no thing, n to the n-th; each is then outlined, with its number on it.
    """
    picture = Image.fromarray(tinted(np.asarray(photo), labels, len(entries), things))
    if things is not None:
        write_numbers(picture, [inner_point(things == number) for number in range(1, int(things.max(initial=0)) + 1)])
    return under(picture, legend(photo.size, entries))


def png_file(picture: Image.Image) -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def tinted(
    photo: UInt8[np.ndarray, "h w 3"],
    labels: Integer[np.ndarray, "h w"],
    names: int,
    things: Integer[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo, half of each name's region its colour, with an outline in a lighter shade of it.

    Args:
        photo: RGB; it is left as it is.
        labels: of its size; 0 is the background, i + 1 the i-th name.
        names: how many there are.
        things: see `region_picture`; each has an outline, too.
    """
    colours, pixels, width = palette(names), photo.copy(), max(1, round(min(labels.shape) / 250))
    outline = _outline(labels, width)
    if things is not None:
        outline |= _outline(things, width)
    for rows in _bands(labels.shape):
        here, tints = pixels[rows], np.take(colours, labels[rows], axis=0)
        half = cv2.addWeighted(here, 0.5, tints, 0.5, 0)
        cv2.copyTo(half, (labels[rows] > 0).view(np.uint8), here)
        lighter = cv2.addWeighted(tints, 0.5, np.full_like(tints, 255), 0.5, 0)
        cv2.copyTo(lighter, outline[rows].view(np.uint8), here)
    return pixels


def heat_picture(photo: Image.Image, heat: Float[np.ndarray, "h w"], name: str, top: float) -> Image.Image:
    """The photo in gray under a heat map (dark blue to yellow, 0 to `top`), over a line that names it.

    Args:
        photo: RGB, of the map's size.
        heat: non-negative; a map that is 0 everywhere leaves the photo gray.
        name: what was looked for.
        top: the end of the scale, the same for all maps that are to be compared.
    """
    pixels = np.array(photo.convert("L").convert("RGB"))
    for rows in _bands(heat.shape) if heat.any() else ():
        levels = np.clip(heat[rows] * np.float32(255 / top), 0, 255).astype(np.uint8)
        warm = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
        pixels[rows] = cv2.addWeighted(pixels[rows], 0.35, warm, 0.65, 0)
    end = "highest" if heat.any() else "nothing found"
    return under(Image.fromarray(pixels), caption(photo.size, name, end))


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of a picture, so many at a time that a band has about `_BAND` pixels."""
    height, width = shape
    step = max(1, _BAND // width)
    return (slice(top, top + step) for top in range(0, height, step))


def _outline(labels: Integer[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels of a name within `width` pixels of another label."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    edge = cv2.dilate(labels, kernel) != labels
    edge |= cv2.erode(labels, kernel) != labels
    edge &= labels > 0
    return edge
