"""The passes of Salience Dropout: what each could see and where it looked, as a strip and as an animation."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from pnpovss.errors import ConfigError
from pnpovss.results.figures.canvas import bare, figure_picture, new_figure, panel_size, shrink
from pnpovss.results.figures.heat import SCALE, colour_bar, draw_heat, top_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PassPicture", "animation_bytes", "passes_figure"]

_PANEL = 2.2  # width of a panel [in]
_SHOWN = 1600  # how long a frame of an animation stays [ms]
_BLANK = 127  # grey of a patch that was blanked


@dataclass(frozen=True, eq=False)
class PassPicture:
    """One pass.

    Attributes:
        kept: Bool "gh gw", the patches that it could see.
        maps: Float32 "name gh gw", not negative; 0 where it could not see.
        weight: in the sum of all passes.
    """

    kept: Bool[np.ndarray, "gh gw"]
    maps: Float[np.ndarray, "name gh gw"]
    weight: float


def passes_figure(photo: UInt8[np.ndarray, "h w 3"], passes: Sequence[PassPicture]) -> "Figure":
    """Two rows: the photo as each pass saw it, and where it looked (all names together), on one scale; then the sum."""
    photo, (width, height) = shrink(photo), panel_size(photo, _PANEL)
    figure = new_figure((len(passes) + 1) * width + 0.9, 2 * (height + 0.45))
    panels = figure.subplots(2, len(passes) + 1, squeeze=False)
    heats, sums = _heats(passes), _sums(passes)
    top, shown = top_of(sums), None
    for number, each in enumerate(passes):
        panels[0, number].imshow(_blanked(photo, each.kept))
        bare(panels[0, number], f"pass {number + 1} sees", f"{each.kept.mean():.0%} of the patches")
        shown = draw_heat(panels[1, number], photo, heats[number], top, "and looks at")
    panels[0, -1].set_axis_off()
    draw_heat(panels[1, -1], photo, sums[-1], top, "all passes")
    if shown is not None:
        colour_bar(figure, shown, list(panels[1]), SCALE)
    return figure


def animation_bytes(
    photo: UInt8[np.ndarray, "h w 3"], passes: Sequence[PassPicture], form: str, mark: str = ""
) -> bytes:
    """The same as an endless animation, a frame per pass: what it sees, where it looks, and the sum so far.

    Args:
        photo: RGB.
        passes: two at least.
        form: gif or webp.
        mark: words that the file holds unseen, such as who made it.

    Raises:
        ConfigError: another form, or a single pass.
    """
    if form not in ("gif", "webp"):
        raise ConfigError(f"an animation is written as gif or webp, got {form!r}")
    if len(passes) < 2:
        raise ConfigError(
            "there is one pass only, and nothing to animate: Salience Dropout is off in these settings; "
            "turn it on with --set dropout.passes=4, or take --preset paper"
        )
    photo, heats, sums = shrink(photo), _heats(passes), _sums(passes)
    top = top_of(sums)
    frames = [
        figure_picture(_frame(photo, each.kept, heat, total, top, f"pass {number} of {len(passes)}"))
        for number, (each, heat, total) in enumerate(zip(passes, heats, sums, strict=True), start=1)
    ]
    held: dict[str, Any] = {}
    if mark:
        held = {"xmp": mark.encode()} if form == "webp" else {"comment": mark.encode()}
    file, durations = io.BytesIO(), [_SHOWN] * (len(frames) - 1) + [2 * _SHOWN]
    moving = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
    frames[0].save(file, form.upper(), **moving, **held, **({"quality": 80, "method": 6} if form == "webp" else {}))
    return file.getvalue()


def _frame(
    photo: UInt8[np.ndarray, "h w 3"],
    kept: Bool[np.ndarray, "gh gw"],
    heat: Float[np.ndarray, "gh gw"],
    total: Float[np.ndarray, "gh gw"],
    top: float,
    title: str,
) -> "Figure":
    width, height = panel_size(photo, _PANEL)
    figure = new_figure(3 * width + 0.3, height + 0.7)
    seen, look, so_far = figure.subplots(1, 3)
    seen.imshow(_blanked(photo, kept))
    bare(seen, title, f"sees {kept.mean():.0%} of the patches")
    draw_heat(look, photo, heat, top, "looks at")
    draw_heat(so_far, photo, total, top, "sum so far")
    return figure


def _heats(passes: Sequence[PassPicture]) -> list[Float[np.ndarray, "gh gw"]]:
    """Where each pass looked, all names together, by its weight."""
    return [(each.weight * each.maps.sum(0)).astype(np.float32) for each in passes]


def _sums(passes: Sequence[PassPicture]) -> list[Float[np.ndarray, "gh gw"]]:
    """The sum of the passes up to each."""
    return list(np.cumsum(np.stack(_heats(passes)), axis=0, dtype=np.float32))


def _blanked(photo: UInt8[np.ndarray, "h w 3"], kept: Bool[np.ndarray, "gh gw"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with the dropped patches grey, as the model sees it."""
    mask = cv2.resize(kept.astype(np.uint8), photo.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(mask[..., None] > 0, photo, np.uint8(_BLANK))
