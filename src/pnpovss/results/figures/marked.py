"""The photo with its regions tinted, each with its name on it where that fits, over a legend of all names."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8

from pnpovss.results.colours import colour
from pnpovss.results.figures.canvas import (
    FAINT,
    INK,
    MOST,
    TEXT,
    bare,
    figure_around,
    new_figure,
    panel_size,
    shrink,
    wrapped,
)
from pnpovss.results.figures.shown import Shown
from pnpovss.results.pictures import tinted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_regions", "place_of_label", "regions_figure", "side_by_side_figure"]

_WIDTH, _BESIDE = 5.2, 2.9  # width of the picture alone, and of each of several [in]
_SIZES = (TEXT + 3, TEXT + 1, TEXT - 1)  # of a name on its region [pt], the largest that fits
_LEGEND_LINE = 34  # letters of a name in a line of the legend


def regions_figure(
    photo: UInt8[np.ndarray, "h w 3"], labels: Integer[np.ndarray, "h w"], names: Sequence[Shown]
) -> "Figure":
    """`draw_regions` on a figure of its own."""
    width, height = panel_size(photo, _WIDTH)
    figure = new_figure(max(width, 3.2), height + 0.25 * min(len(names), MOST) + 0.2)
    draw_regions(figure.subplots(), photo, labels, names)
    return figure


def side_by_side_figure(
    photo: UInt8[np.ndarray, "h w 3"],
    panels: Mapping[str, tuple[Integer[np.ndarray, "h w"], Sequence[Shown]]],
) -> "Figure":
    """The same photo, segmented in several ways, each under its title.

    Args:
        photo: RGB.
        panels: labels and names of each, by title.
    """
    width, height = panel_size(photo, _BESIDE)
    most = min(MOST, max(len(names) for _, names in panels.values()))
    figure = new_figure(max(width, 2.4) * len(panels), height + 0.25 * most + 0.5)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, (labels, names)) in zip(row, panels.items(), strict=True):
        draw_regions(axes, photo, labels, names)
        axes.set_title(wrapped(title), fontsize=TEXT, color=INK)
    return figure


def draw_regions(
    axes: "Axes", photo: UInt8[np.ndarray, "h w 3"], labels: Integer[np.ndarray, "h w"], names: Sequence[Shown]
) -> "Axes":
    """Tinted regions with outlines, names on those that have room, and a legend below with what became of each name.

    Args:
        axes: to draw on; returned.
        photo: RGB.
        labels: of the photo's size; 0 is the background, i + 1 the i-th name.
        names: all that were asked for.
    """
    photo, labels = shrink(photo), shrink(labels, labels=True)
    axes.imshow(tinted(photo, labels, len(names)))
    bare(axes, "")
    _legend(axes, names)
    figure = figure_around(axes)
    figure.draw_without_rendering()  # the layout decides how many pixels of the photo a letter covers
    points = axes.get_window_extent().width / figure.dpi * 72
    per_point = photo.shape[1] / points
    for index, each in enumerate(names):
        if each.drawn:
            _label(axes, labels == index + 1, each.name, per_point)
    return axes


def _legend(axes: "Axes", names: Sequence[Shown]) -> None:
    """A line per name: filled where it has pixels, an empty square and grey letters where it has none.

    Of very many names, those without pixels are counted in one line.
    """
    from matplotlib.patches import Patch

    listed = [(i, each) for i, each in enumerate(names) if each.drawn or len(names) <= MOST]
    tones = ["#{:02x}{:02x}{:02x}".format(*colour(i)) for i, _ in listed]
    patches = [
        Patch(facecolor=tone if each.drawn else "none", edgecolor=tone, linewidth=1.5)
        for tone, (_, each) in zip(tones, listed, strict=True)
    ]
    lines = [wrapped(f"{each.name}  ({each.note})", _LEGEND_LINE) for _, each in listed]
    if len(listed) < len(names):
        patches.append(Patch(facecolor="none", edgecolor="none"))
        lines.append(f"and {len(names) - len(listed)} more without pixels")
    below = {"loc": "upper left", "bbox_to_anchor": (0, 0), "borderaxespad": 0.3}
    legend = axes.legend(patches, lines, **below, frameon=False, fontsize=TEXT, handlelength=1, handleheight=1)
    for text, drawn in zip(legend.get_texts(), [*(each.drawn for _, each in listed), False], strict=False):
        text.set_color(INK if drawn else FAINT)


def _label(axes: "Axes", mask: Bool[np.ndarray, "h w"], name: str, per_point: float) -> None:
    """The name on its region, in the largest letters for which it has room; none where it has not."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patheffects import withStroke
    from matplotlib.textpath import TextPath

    text = wrapped(name, 14)
    for size in _SIZES:
        font = FontProperties(size=size, weight="bold")
        lines = [TextPath((0, 0), line, prop=font).get_extents().width for line in text.split("\n")]
        extent = (1.3 * size * len(lines) * per_point, (max(lines) + size) * per_point)
        if (place := place_of_label(mask, extent)) is not None:
            halo = [withStroke(linewidth=2.5, foreground="#000000c0")]
            axes.text(*place, text, color="white", ha="center", va="center", fontproperties=font, path_effects=halo)
            return


def place_of_label(mask: Bool[np.ndarray, "h w"], extent: tuple[float, float]) -> tuple[float, float] | None:
    """(x, y) of the middle of a box that lies wholly in the mask, as far from its edge as may be; None without one.

    Args:
        mask: of a region.
        extent: (height, width) of the box [px].
    """
    height, width = (max(1, round(each)) | 1 for each in extent)
    framed = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    room = cv2.erode(framed, np.ones((height, width), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if not room.any():
        return None
    depth = np.where(room > 0, cv2.distanceTransform(framed, cv2.DIST_L2, 3), -1)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x - 1), float(y - 1)
