"""Charts and pictures for the report page, as HTML and data URLs: nothing is fetched when the page is opened."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO

import numpy as np
from jaxtyping import Integer
from PIL import Image

from pnpovss.evaluation.measures.bootstrap import Interval
from pnpovss.evaluation.measures.previews import PHOTO_SIDE
from pnpovss.results.colours import colour

__all__ = ["bars", "intervals", "legend", "photo_url", "region_url", "swatch"]


def bars(rows: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    """Horizontal bars, a group for each row, a colour for each series; text, so that it is read at any width.

    Args:
        rows: names, top down.
        series: values in [0, 1] by name, one a row; None draws a dash.
    """
    items = []
    for i, row in enumerate(rows):
        drawn = "".join(_bar(f"{name}, {row}", values[i], _css(j)) for j, (name, values) in enumerate(series.items()))
        items.append(f"<li><span class='name'>{escape(row)}</span><div class='track'>{drawn}</div></li>")
    return f"<ul class='bars'>{''.join(items)}{_axis(20)}</ul>"


def _bar(what: str, value: float | None, colour: str) -> str:
    if value is None:
        return f"<div class='bar none' style='width:0' title='{escape(what)}: no IoU'><span>-</span></div>"
    shown = f"{100 * value:.1f}"
    return (
        f"<div class='bar' style='width:{shown}%;background:{colour}' title='{escape(what)}: {shown}'>"
        f"<span>{shown}</span></div>"
    )


def intervals(rows: Sequence[tuple[str, Interval]]) -> str:
    """A point with its 95% interval for each row, on one scale from 0 to 100%, and both as numbers."""
    items = []
    for name, found in rows:
        low, middle, high = (f"{100 * value:.1f}" for value in (found.low, found.value, found.high))
        width = max(100 * (found.high - found.low), 0)
        items.append(
            f"<li><span class='name'>{escape(name)}</span><div class='track' aria-hidden='true'>"
            f"<div class='line' style='left:{low}%;width:{width:.1f}%'></div>"
            f"<div class='dot' style='left:{middle}%'></div></div>"
            f"<span class='value'><b>{middle}</b> ({low} to {high})</span></li>"
        )
    return f"<ul class='spread'>{''.join(items)}{_axis(20)}</ul>"


def _axis(step: int) -> str:
    """The scale below a chart, from 0 to 100%."""
    ticks = "".join(f"<span>{tick}</span>" for tick in range(0, 101, step))
    return f"<li aria-hidden='true'><span></span><div class='track axis'>{ticks}</div></li>"


def legend(entries: Mapping[str, str]) -> str:
    """What the colours of `bars` stand for, in their order.

    Args:
        entries: by name, what is said of it.
    """
    items = (
        f"<li><i style='background:{_css(i)}'></i><b>{escape(name)}</b> {escape(text)}</li>"
        for i, (name, text) in enumerate(entries.items())
    )
    return f"<ul class='legend'>{''.join(items)}</ul>"


def photo_url(photo: Image.Image) -> str:
    """A small photo as a data URL."""
    return _url(photo, "JPEG", quality=80)


def region_url(
    classes: Integer[np.ndarray, "h w"], shown: Sequence[int], background: int | None, photo: Image.Image
) -> str:
    """Classes as colours, over the grey photo.

    Args:
        classes: indices, -1 where there is none.
        shown: which index has which colour: the i-th gets the i-th colour.
        background: drawn as nothing.
        photo: what the map belongs to.
    """
    scale = PHOTO_SIDE / max(classes.shape)
    size = max(1, round(classes.shape[1] * scale)), max(1, round(classes.shape[0] * scale))
    grey = photo.convert("L").convert("RGB").resize(size, Image.Resampling.BILINEAR)
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
