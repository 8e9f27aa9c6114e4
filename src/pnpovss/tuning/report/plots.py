"""Pictures of a tuning, with matplotlib (the extra `figures`, or `tune`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pnpovss.results.figures.canvas import figure_bytes, new_figure, wrapped
from pnpovss.tuning.cells import Cell
from pnpovss.tuning.outcome import Outcome
from pnpovss.tuning.report.sheet import Sheet
from pnpovss.tuning.tables import cell_rows, head_rows

__all__ = ["heads_png", "require_matplotlib", "sheet_png", "thresholds_png", "trials_png"]

_FEATURE = "the report of a tuning"
_LINES = 6  # heads whose rewards are drawn over thresholds
_ROWS = 12  # heads of the contact sheet; the page has all


def require_matplotlib() -> None:
    """Say now, and not after hours of work, that plots cannot be made.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    new_figure(1, 1, _FEATURE)


def heads_png(outcome: Outcome, chosen: Cell) -> bytes:
    """The best reward of each head at any threshold, layers down and heads across; the choice and the start marked."""
    rows = head_rows(outcome)
    layers, heads = sorted({row["layer"] for row in rows}), 1 + max(row["head"] for row in rows)
    grid = np.full((len(layers), heads), np.nan)
    for row in rows:
        value = row[outcome.plan.reward]
        grid[layers.index(row["layer"]), row["head"]] = np.nan if value is None else value
    figure = new_figure(max(4.0, 0.55 * heads + 2), max(2.6, 0.5 * len(layers) + 1.2), _FEATURE)
    axis = figure.subplots()
    shown = axis.imshow(grid, cmap="viridis", aspect="auto")
    figure.colorbar(shown, ax=axis, label=outcome.plan.reward)
    for cell, colour, label in _marked(outcome, chosen):
        places = [(layers.index(layer), head) for layer, head in cell.heads]
        axis.scatter(
            *zip(*((x, y) for y, x in places), strict=True),
            s=170,
            facecolors="none",
            edgecolors=colour,
            linewidths=2.5,
            label=label,
        )
    axis.set(xlabel="head (from 0)", ylabel="layer (from 0)")
    axis.set_xticks(range(heads))
    axis.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure_bytes(figure)


def _marked(outcome: Outcome, chosen: Cell) -> list[tuple[Cell, str, str]]:
    marked = [(chosen, "red", f"chosen: {chosen}")]
    if outcome.reference is None or outcome.cells[outcome.reference].heads == chosen.heads:
        return marked
    return [*marked, (outcome.cells[outcome.reference], "black", f"before: {outcome.cells[outcome.reference]}")]


def thresholds_png(outcome: Outcome) -> bytes:
    """The reward over thresholds, of the heads that come first."""
    rows = [row for row in cell_rows(outcome) if row["photos"]]
    best = list(dict.fromkeys(row["heads"] for row in rows))[:_LINES]
    figure = new_figure(5.6, 3.6, _FEATURE)
    axis = figure.subplots()
    for heads in best:
        own = sorted((row["threshold"], row[outcome.plan.reward]) for row in rows if row["heads"] == heads)
        axis.plot(*zip(*own, strict=True), marker="o", label=heads)
    axis.set(xlabel="threshold", ylabel=outcome.plan.reward)
    figure.legend(loc="outside right upper", title="layer.head", fontsize=8)
    return figure_bytes(figure)


def trials_png(rows: Sequence[dict[str, Any]]) -> bytes:
    """The course of a search: each trial's reward, and the best so far."""
    figure = new_figure(5.6, 3.6, _FEATURE)
    axis = figure.subplots()
    for state, marker in (("complete", "o"), ("pruned", "x")):
        own = [(row["slot"], row["reward"]) for row in rows if row["state"] == state]
        if own:
            axis.scatter(
                *zip(*own, strict=True), marker=marker, s=22, label="whole" if state == "complete" else "given up"
            )
    whole = [row for row in rows if row["state"] == "complete"]
    axis.step(
        [row["slot"] for row in whole],
        np.maximum.accumulate([row["reward"] for row in whole]),
        where="post",
        label="best so far",
    )
    axis.set(xlabel="trial", ylabel="reward")
    axis.legend(fontsize=8)
    return figure_bytes(figure)


def sheet_png(shown: Sheet) -> bytes:
    """The contact sheet of the heads that come first: a row for each, and the photos above."""
    rows = shown.rows[:_ROWS]
    figure = new_figure(1.3 * len(shown.photos) + 0.9, 1.05 * (len(rows) + 1), _FEATURE)
    grid = figure.subplots(len(rows) + 1, len(shown.photos), squeeze=False)
    for axis, photo, name in zip(grid[0], shown.photos, shown.names, strict=True):
        axis.imshow(photo)
        axis.set_title(wrapped(name, 18), fontsize=8)
    for line, row in zip(grid[1:], rows, strict=True):
        value = "-" if row.value is None else f"{row.value:.3g}"
        line[0].set_ylabel(f"{row.head}\n{value}", rotation=0, ha="right", va="center", fontsize=8)
        for axis, picture in zip(line, row.pictures, strict=True):
            axis.imshow(picture)
    for axis in grid.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure_bytes(figure)
