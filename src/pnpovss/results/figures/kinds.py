"""The kinds of figures that a segmentation has, by name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from jaxtyping import Float, Integer, UInt8

from pnpovss.errors import ConfigError
from pnpovss.results.figures.canvas import figure_around
from pnpovss.results.figures.heat import heat_figure, word_figure
from pnpovss.results.figures.marked import draw_regions, regions_figure
from pnpovss.results.figures.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FigureKind", "figure_of"]

FigureKind = Literal["regions", "heat", "words"]


def figure_of(
    kind: str,
    photo: UInt8[np.ndarray, "h w 3"],
    labels: Integer[np.ndarray, "h w"],
    names: Sequence[Shown],
    words: Sequence[tuple[str, Float[np.ndarray, "gh gw"]]],
    axes: "Axes | None" = None,
) -> "Figure":
    """See `Segmentation.figure`.

    Raises:
        ConfigError: another kind, axes for one that makes its own, or words where nothing was looked for.
    """
    if kind not in get_args(FigureKind):
        raise ConfigError(f"unknown kind of figure {kind!r}; known: {', '.join(get_args(FigureKind))}")
    if axes is not None:
        if kind != "regions":
            raise ConfigError(f"a figure of kind {kind!r} has axes of its own; only 'regions' draws on given ones")
        return figure_around(draw_regions(axes, photo, labels, names))
    if kind == "regions":
        return regions_figure(photo, labels, names)
    if kind == "heat":
        return heat_figure(photo, names)
    if not words:
        raise ConfigError("nothing was looked for, so no word has a heat map; see `kept` and `name_match`")
    return word_figure(photo, words)
