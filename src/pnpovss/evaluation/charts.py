"""Charts and pictures for the report page, as SVG and data URLs: nothing is fetched when the page is opened."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from PIL import Image

from pnpovss.drawing import colour
from pnpovss.errors import ImageError
from pnpovss.evaluation.bootstrap import Interval
from pnpovss.images import load_image

__all__ = ["bars", "intervals", "photo_url", "region_url"]

PHOTO_SIDE = 220  # longer side of a picture on the page [px]
ROW, LABEL, PLOT = 13, 170, 520  # bar height, room for names, width of 100% [px]


def bars(rows: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    """Horizontal bars, a group for each row, a colour for each series.

    Args:
        rows: names, top down.
        series: values in [0, 1] by name, one a row; None draws nothing.
    """
    group = ROW * len(series) + 7
    height = group * len(rows) + 22
    parts = [f'<svg viewBox="0 0 {LABEL + PLOT + 50} {height}" role="img" aria-label="IoU of each class" class="bars">']
    for tick in range(0, 101, 20):
        x = LABEL + PLOT * tick / 100
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{height - 18}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{height - 4}" text-anchor="middle" class="tick">{tick}</text>')
    for i, row in enumerate(rows):
        top = i * group + 3
        parts.append(
            f'<text x="{LABEL - 8}" y="{top + ROW * len(series) / 2 + 4}" text-anchor="end">{escape(row)}</text>'
        )
        for j, (name, values) in enumerate(series.items()):
            value = values[i]
            if value is None:
                continue
            y, width = top + j * ROW, PLOT * value
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{ROW - 2}" fill="{_css(j)}">'
                f"<title>{escape(name)}, {escape(row)}: {100 * value:.1f}</title></rect>"
                f'<text x="{LABEL + width + 4:.1f}" y="{y + ROW - 4}" class="tick">{100 * value:.1f}</text>'
            )
    return "".join(parts) + "</svg>"


def intervals(rows: Sequence[tuple[str, Interval]]) -> str:
    """A point with its 95% interval for each row, on one scale from 0 to 100%."""
    line = 24
    height = line * len(rows) + 20
    label, plot = 260, 380
    parts = [f'<svg viewBox="0 0 {label + plot + 60} {height}" role="img" aria-label="scores by group" class="spread">']
    for tick in range(0, 101, 25):
        x = label + plot * tick / 100
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{height - 16}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{height - 3}" text-anchor="middle" class="tick">{tick}</text>')
    for i, (name, found) in enumerate(rows):
        y = i * line + 14
        low, middle, high = (label + plot * value for value in (found.low, found.value, found.high))
        parts.append(
            f'<text x="{label - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{_css(0)}" stroke-width="2"/>'
            f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{_css(0)}"/>'
            f'<text x="{max(high, middle) + 9:.1f}" y="{y + 4}" class="tick">{100 * found.value:.1f}</text>'
        )
    return "".join(parts) + "</svg>"


def legend(names: Sequence[str]) -> str:
    """What the colours of `bars` stand for."""
    items = (f'<span><i style="background:{_css(i)}"></i>{escape(name)}</span>' for i, name in enumerate(names))
    return f'<p class="legend">{"".join(items)}</p>'


def photo_url(path: Path) -> str | None:
    """A small JPEG of a photo as a data URL; None where the photo is no longer there."""
    try:
        image = load_image(path)
    except ImageError:
        return None
    image.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    return _url(image, "JPEG", quality=80)


def region_url(
    classes: Integer[np.ndarray, "h w"], shown: Sequence[int], background: int | None, photo: Path | None = None
) -> str:
    """Classes as colours, over the grey photo where it is there.

    Args:
        classes: indices, -1 where there is none.
        shown: which index has which colour: the i-th gets the i-th colour.
        background: drawn as nothing.
        photo: what the map belongs to.
    """
    scale = PHOTO_SIDE / max(classes.shape)
    size = max(1, round(classes.shape[1] * scale)), max(1, round(classes.shape[0] * scale))
    base = np.full((size[1], size[0], 3), 235, np.float32)
    if photo is not None:
        grey = load_image(photo).convert("L").convert("RGB").resize(size, Image.Resampling.BILINEAR)
        base = np.asarray(grey, np.float32)
    large = np.asarray(Image.fromarray(classes.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    picture = base.copy()
    for i, label in enumerate(shown):
        if label != background:
            here = large == label
            picture[here] = 0.35 * base[here] + 0.65 * np.array(colour(i), np.float32)
    return _url(Image.fromarray(picture.round().astype(np.uint8)), "JPEG", quality=80)


def swatch(index: int) -> str:
    """The CSS colour of the i-th class shown in a picture."""
    return _css(index)


def _css(index: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour(index))


def _url(image: Image.Image, kind: str, **options: int) -> str:
    data = BytesIO()
    image.save(data, kind, **options)
    return f"data:image/{kind.lower()};base64,{b64encode(data.getvalue()).decode('ascii')}"
