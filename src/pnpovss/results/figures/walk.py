"""The whole method on one page: a row per name from attention to threshold, then the label map after each step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer, UInt8

from pnpovss.results.figures.canvas import bare, new_figure, panel_size, shrink
from pnpovss.results.figures.heat import draw_heat, top_of
from pnpovss.results.pictures import tinted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["walk_figure"]

_PANEL = 2.2  # width of a panel [in]


def walk_figure(
    photo: UInt8[np.ndarray, "h w 3"],
    names: Sequence[str],
    maps: Mapping[str, Float[np.ndarray, "name gh gw"]],
    stages: Mapping[str, Integer[np.ndarray, "h w"]],
) -> "Figure":
    """The maps of one step share a scale; each step has its own, since its numbers mean something else.

    Args:
        photo: RGB.
        names: what was looked for.
        maps: after each step that makes any, by its name.
        stages: the label map after each further step, by its name.
    """
    photo, (width, height) = shrink(photo), panel_size(photo, _PANEL)
    rows, columns = len(names) + 1, max(len(maps), len(stages) + 1)
    figure = new_figure(columns * width, rows * (height + 0.45))
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    for column, (step, heats) in enumerate(maps.items()):
        top = top_of(list(heats))
        for row, (name, heat) in enumerate(zip(names, heats, strict=True)):
            draw_heat(panels[row, column], photo, heat, top, f"{name}: {step}")
    panels[-1, 0].imshow(photo)
    bare(panels[-1, 0], "the photo")
    for axes, (step, labels) in zip(panels[-1, 1:], stages.items(), strict=False):
        axes.imshow(tinted(photo, shrink(labels, labels=True), len(names)))
        bare(axes, f"labels after {step}")
    return figure
