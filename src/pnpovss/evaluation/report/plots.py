"""Pictures of sweeps, with matplotlib (the extra `figures`)."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pnpovss.files.writing import write_all
from pnpovss.results.figures.canvas import new_figure

__all__ = ["plot_heads", "plot_variants", "require_matplotlib"]

Row = Mapping[str, Any]

TICKS = 4  # steps on an axis of numbers, so that labels of four digits stand apart
ACROSS = 3  # panels in a row
_FEATURE = "plots of sweeps"


def plot_heads(rows: Sequence[Row], correlations: Mapping[str, float | None], title: str, path: Path) -> None:
    """The mIoU of every layer and head, and against each statistic.

    Args:
        rows: as `sweeps.heads_table` gives them.
        correlations: of each statistic with the mIoU.
        title: over the plot.
        path: a .png.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    panels = 1 + len(correlations)
    across = min(ACROSS, panels)
    down = -(-panels // across)
    figure = new_figure(4.8 * across, 3.9 * down, _FEATURE)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    _heads_grid(axes[0], figure, rows)
    for axis, (name, rho) in zip(axes[1:], correlations.items(), strict=False):
        _statistic(axis, rows, name, rho)
    if correlations:
        axes[1].legend(fontsize=8)
    for axis in axes[panels:]:
        axis.set_axis_off()
    _save(figure, title, path)


def _heads_grid(axis: Any, figure: Any, rows: Sequence[Row]) -> None:
    """The mIoU by layer and head, as a picture."""
    layers = sorted({row["layer"] for row in rows})
    heads = 1 + max(row["head"] for row in rows)
    grid = np.full((len(layers), heads), np.nan)
    for row in rows:
        grid[layers.index(row["layer"]), row["head"]] = 100 * row["miou"]
    shown = axis.imshow(grid, cmap="viridis", aspect="auto")
    axis.set(xlabel="head (0-based)", ylabel="layer (0-based)", title="mIoU [%]")
    axis.set_xticks(range(0, heads, -(-heads // 12)))
    axis.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    figure.colorbar(shown, ax=axis)


def _statistic(axis: Any, rows: Sequence[Row], name: str, rho: float | None) -> None:
    """The mIoU of each head against one of its statistics."""
    for layer in sorted({row["layer"] for row in rows}):
        own = [row for row in rows if row["layer"] == layer]
        axis.scatter([row[name] for row in own], [100 * row["miou"] for row in own], s=18, label=f"layer {layer}")
    axis.set(xlabel=name, ylabel="mIoU [%]", title="all alike" if rho is None else f"rank correlation {rho:+.2f}")
    axis.locator_params(axis="x", nbins=TICKS)


def plot_variants(rows: Sequence[Row], x: str, title: str, path: Path) -> None:
    """The mIoU against one setting, with 95% intervals; a line per drop rule where there are several.

    Args:
        rows: as `sweeps.variants_table` gives them; the first, as set, is drawn as a level.
        x: the column along the axis.
        title: over the plot.
        path: a .png.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = new_figure(7.2, 4.4, _FEATURE)
    draw_variants(figure.subplots(), rows, x)
    _save(figure, title, path)


def draw_variants(axis: Any, rows: Sequence[Row], x: str) -> None:
    """Draw what `plot_variants` says on an axis of matplotlib."""
    level, swept = rows[0], rows[1:]
    axis.axhline(100 * level["miou"], color="0.6", linestyle="--", label=_as_set(level, x))
    lines = sorted({str(row["drop"]) for row in swept if row["passes"] > 1}) if x == "passes" else [None]
    for i, line in enumerate(lines):
        # One pass drops nothing, so it begins every line; lines stand apart, or their intervals would hide each other.
        own = [row for row in swept if line in (None, str(row["drop"])) or row["passes"] == 1]
        own.sort(key=lambda row: row[x])
        aside = 0.07 * (i - (len(lines) - 1) / 2)
        places = [row[x] + aside for row in own]
        middle = [100 * row["miou"] for row in own]
        axis.errorbar(places, middle, _errors(own), marker="o", capsize=3, label=line and f"drop {line}")
    if x == "image_size":  # the patch grid belongs to it; the variants are named "192 px, 12 x 12 patches"
        axis.set_xticks([row[x] for row in swept], [row["variant"].replace(", ", "\n") for row in swept], fontsize=7)
    known = rows[0]["low"] is not None
    axis.set(xlabel=x.replace("_", " "), ylabel="mIoU [%], 95% interval" if known else "mIoU [%]")
    axis.legend()


def _errors(rows: Sequence[Row]) -> list[list[float]] | None:
    """How far the intervals reach below and above, 0 where the value itself lies outside; None without intervals."""
    if any(row["low"] is None for row in rows):
        return None
    reach = (lambda row: row["miou"] - row["low"], lambda row: row["high"] - row["miou"])
    return [[100 * max(0.0, side(row)) for row in rows] for side in reach]


def _as_set(row: Row, x: str) -> str:
    """What the level is: the settings that the sweep started from."""
    if x == "passes":
        drop = "" if row["drop"] is None else f", drop {row['drop']}"
        return f"{row['variant']} (passes {row['passes']}{drop})"
    return f"{row['variant']} ({'off' if row[x] is None else row[x]})"


def require_matplotlib() -> None:
    """Say now, and not after hours of work, that plots cannot be made.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    new_figure(1, 1, _FEATURE)


def _save(figure: Any, title: str, path: Path) -> None:
    figure.suptitle(title, fontsize=9, wrap=True)
    data = BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_all({path: data.getvalue()})
