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
        axis.set(xlabel=name, ylabel="mIoU [%]", title="" if rho is None else f"rank correlation {rho:+.2f}")
    if statistics:
        axes[1].legend(fontsize=8)
    for axis in axes[1 + len(statistics) :]:
        axis.set_axis_off()
    figure.suptitle(title)
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
    figure = _figure()(figsize=(6.4, 4), layout="constrained")
    axis = figure.subplots()
    level, swept = rows[0], rows[1:]
    axis.axhline(100 * level["miou"], color="0.6", linestyle="--", label=level["arm"])
    lines = sorted({str(row["drop"]) for row in swept}) if x == "passes" else [None]
    for line in lines:
        own = sorted((row for row in swept if line in (None, str(row["drop"]))), key=lambda row: row[x])
        middle = np.array([100 * row["miou"] for row in own])
        errors = np.abs(np.array([[100 * row["low"], 100 * row["high"]] for row in own]).T - middle)
        axis.errorbar([row[x] for row in own], middle, errors, marker="o", capsize=3, label=line and f"drop {line}")
    axis.set(xlabel=x.replace("_", " "), ylabel="mIoU [%], 95% interval", title=title)
    axis.legend()
    figure.savefig(path, dpi=110)


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
