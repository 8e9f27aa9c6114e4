"""Pictures of sweeps, with matplotlib (the extra `eval`)."""

from pathlib import Path
from typing import Any

import numpy as np

from pnpovss.errors import MissingExtraError

__all__ = ["plot_arms", "plot_heads", "require_matplotlib"]

Rows = list[dict[str, Any]]


def plot_heads(rows: Rows, correlations: dict[str, float | None], title: str, path: Path) -> None:
    """The mIoU of every layer and head, and against each statistic.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure_class = _figure()
    statistics = list(correlations)
    columns = min(3, 1 + len(statistics))
    lines = -(-(1 + len(statistics)) // columns)
    figure = figure_class(figsize=(4.6 * columns, 3.8 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    layers = sorted({row["layer"] for row in rows})
    heads = 1 + max(row["head"] for row in rows)
    grid = np.full((len(layers), heads), np.nan)
    for row in rows:
        grid[layers.index(row["layer"]), row["head"]] = 100 * row["miou"]
    shown = axes[0].imshow(grid, cmap="viridis", aspect="auto")
    axes[0].set(xlabel="head (0-based)", ylabel="layer (0-based)", title="mIoU [%]")
    axes[0].set_xticks(range(heads))
    axes[0].set_yticks(range(len(layers)), [str(layer) for layer in layers])
    figure.colorbar(shown, ax=axes[0])
    for axis, name in zip(axes[1:], statistics, strict=False):
        for layer in layers:
            own = [row for row in rows if row["layer"] == layer]
            axis.scatter([row[name] for row in own], [100 * row["miou"] for row in own], s=18, label=f"layer {layer}")
        rho = correlations[name]
        axis.set(xlabel=name, ylabel="mIoU [%]", title="all alike" if rho is None else f"rank correlation {rho:+.2f}")
    if statistics:
        axes[1].legend(fontsize=8)
    for axis in axes[1 + len(statistics) :]:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def plot_arms(rows: Rows, x: str, title: str, path: Path) -> None:
    """The mIoU against one setting, with 95% intervals; a line for each drop rule where there are several.

    Args:
        rows: as `sweeps.arms_table` gives them; the first, as set, is drawn as a level.
        x: the column along the axis.
        title: over the plot.
        path: a .png.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    _arms_figure(rows, x, title).savefig(path, dpi=110)


def _arms_figure(rows: Rows, x: str, title: str) -> Any:
    figure = _figure()(figsize=(7.2, 4.4), layout="constrained")
    axis = figure.subplots()
    level, swept = rows[0], rows[1:]
    axis.axhline(100 * level["miou"], color="0.6", linestyle="--", label=_as_set(level, x))
    lines = sorted({str(row["drop"]) for row in swept if row["passes"] > 1}) if x == "passes" else [None]
    for i, line in enumerate(lines):
        # One pass drops nothing, so it begins every line; lines stand apart, or their intervals would hide each other.
        own = [row for row in swept if line in (None, str(row["drop"])) or row["passes"] == 1]
        own.sort(key=lambda row: row[x])
        aside = 0.07 * (i - (len(lines) - 1) / 2)
        middle = np.array([100 * row["miou"] for row in own])
        errors = np.abs(np.array([[100 * row["low"], 100 * row["high"]] for row in own]).T - middle)
        places = [row[x] + aside for row in own]
        axis.errorbar(places, middle, errors, marker="o", capsize=3, label=line and f"drop {line}")
    if x == "image_size":  # the patch grid belongs to it; the arms are named "192 px, 12 x 12 patches"
        axis.set_xticks([row[x] for row in swept], [row["arm"].replace(", ", "\n") for row in swept], fontsize=7)
    axis.set(xlabel=x.replace("_", " "), ylabel="mIoU [%], 95% interval")
    axis.set_title(title, fontsize=9, wrap=True)
    axis.legend()
    return figure


def _as_set(row: dict[str, Any], x: str) -> str:
    """What the level is: the settings that the sweep started from."""
    if x == "passes":
        return f"{row['arm']} (passes {row['passes']}" + (f", drop {row['drop']})" if row["drop"] is not None else ")")
    return f"{row['arm']} ({'off' if row[x] is None else row[x]})"


def require_matplotlib() -> None:
    """Say now, and not after hours of work, that plots cannot be made.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    _figure()


def _figure() -> Any:
    """A figure of matplotlib, without a window system and without its global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots of sweeps", "eval") from error
    return Figure
