"""Heat maps of several names on one scale, and the words of a prompt as a strip of small ones."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from pnpovss.results.figures.canvas import FAINT, MOST, TEXT, bare, new_figure, panel_size, shrink, wrapped
from pnpovss.results.figures.shown import Shown
from pnpovss.sentences import is_function_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "SCALE", "colour_bar", "draw_absent", "draw_heat", "heat_figure", "top_of", "word_figure"]

COLOURS = "viridis"
"""From dark blue to yellow, ever lighter, also for those who tell fewer colours apart."""
SCALE = "attention x gradient, summed"

_PANEL, _WORD = 2.9, 1.45  # width of a name's panel, and of a word's [in]
_ACROSS, _WORDS_ACROSS = 3, 6
_FADED = 0.25  # of a function word's picture
_COVER = 0.75  # how much of the photo a heat map hides where it is high; nothing where it is 0
_FULL = 0.3  # part of the scale from which it hides so much


def heat_figure(photo: UInt8[np.ndarray, "h w 3"], names: Sequence[Shown], *, scale: str = SCALE) -> "Figure":
    """A panel per name, all on one scale with a colour bar; names that were left out are greyed and said to be absent.

    Args:
        photo: RGB.
        names: at least one.
        scale: what the colour bar measures.
    """
    chosen = _chosen(names)
    photo, columns = shrink(photo), min(len(chosen), _ACROSS)
    rows, (width, height) = math.ceil(len(chosen) / columns), panel_size(photo, _PANEL)
    figure = new_figure(max(columns * width, 2.2) + 0.9, rows * (height + 0.7))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    top, drawn = top_of([each.heat for each in chosen]), None
    for axes, each in zip(panels, chosen, strict=False):
        if each.heat is None:
            draw_absent(axes, photo, each.name, each.note)
        else:
            drawn = draw_heat(axes, photo, each.heat, top, each.name, each.note)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    if drawn is not None:
        colour_bar(figure, drawn, panels, scale)
    if len(chosen) < len(names):
        note = f"{len(chosen)} of {len(names)} names: those whose maps are highest; of the others none is higher"
        figure.supxlabel(note, fontsize=TEXT - 1, color=FAINT)
    return figure


def _chosen(names: Sequence[Shown]) -> list[Shown]:
    """The names that have a panel, in the order asked: all, or, of very many, those with the highest maps."""
    if len(names) <= MOST:
        return list(names)
    heats = [-1.0 if each.heat is None else float(each.heat.max(initial=0)) for each in names]
    highest = sorted(range(len(names)), key=lambda i: -heats[i])[:MOST]
    return [names[i] for i in sorted(highest)]


def word_figure(
    photo: UInt8[np.ndarray, "h w 3"], words: Sequence[tuple[str, Float[np.ndarray, "gh gw"]]], *, scale: str = SCALE
) -> "Figure":
    """Which word looks where: a strip of small maps in the order of the words, on one scale; function words are faint.

    Args:
        photo: RGB.
        words: each with its map, not negative; at least one.
        scale: what the colour bar measures.
    """
    photo, columns = shrink(photo), min(len(words), _WORDS_ACROSS)
    rows, (width, height) = math.ceil(len(words) / columns), panel_size(photo, _WORD)
    figure = new_figure(max(columns * width, 2.2) + 0.9, rows * (height + 0.4) + 0.1)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    telling = [heat for word, heat in words if not is_function_word(word)]
    top, bar = top_of(telling or [heat for _, heat in words]), None
    for axes, (word, heat) in zip(panels, words, strict=False):
        faint = is_function_word(word)
        shown = draw_heat(axes, photo, heat, top, word, faint=faint, letters=14)
        bar = shown if bar is None or not faint else bar
    for axes in panels[len(words) :]:
        axes.set_axis_off()
    colour_bar(figure, bar, panels, scale)
    return figure


def draw_heat(
    axes: "Axes",
    photo: UInt8[np.ndarray, "h w 3"],
    heat: Float[np.ndarray, "gh gw"],
    top: float,
    title: str,
    note: str = "",
    *,
    faint: bool = False,
    letters: int = 26,
) -> Any:
    """The photo in grey under a heat map; returns what a colour bar is made of.

    Args:
        axes: to draw on.
        photo: RGB.
        heat: not negative; enlarged to the photo's size.
        top: value of the lightest colour, the same for maps that are to be compared.
        title: over the panel.
        note: in grey below the title.
        faint: pale, as a word is that says nothing alone.
        letters: in a line of the title.
    """
    strength = _FADED if faint else 1.0
    axes.imshow(_grey(photo), alpha=strength)
    enlarged = cv2.resize(heat, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cover = np.clip(enlarged / (_FULL * top), 0, 1) * (_COVER * strength)
    shown = axes.imshow(enlarged, cmap=COLOURS, vmin=0, vmax=top, alpha=cover)
    bare(axes, title, note, faint=faint, letters=letters)
    return shown


def draw_absent(axes: "Axes", photo: UInt8[np.ndarray, "h w 3"], title: str, note: str) -> None:
    """The photo in pale grey: nothing was looked for."""
    axes.imshow(_grey(photo), alpha=0.3)
    middle = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, "absent", **middle, fontsize=TEXT + 2, color=FAINT)
    bare(axes, title, note, faint=True)


def top_of(maps: Sequence[Float[np.ndarray, "gh gw"] | None]) -> float:
    """The largest value of several maps, the end of their scale; above 0, so that nothing is the darkest colour."""
    return max((float(heat.max(initial=0)) for heat in maps if heat is not None), default=0.0) or 1.0


def _grey(photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def colour_bar(figure: "Figure", shown: Any, panels: list["Axes"], scale: str) -> None:
    """A colour bar beside all panels; solid, whatever lets the photos shine through."""
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(shown.norm, shown.cmap), ax=panels, shrink=0.8, aspect=25, pad=0.02)
    room = int(0.8 * figure.get_figheight() * 72 / (0.62 * TEXT))  # letters along the bar
    bar.set_label(wrapped(scale, max(room, 9)), fontsize=TEXT - 1, color=FAINT)
    bar.ax.tick_params(labelsize=TEXT - 2, colors=FAINT)
    bar.ax.ticklabel_format(scilimits=(-2, 3))
    bar.ax.yaxis.get_offset_text().set(size=TEXT - 2, color=FAINT)
    bar.outline.set_visible(False)
