"""What a tuning found, as rows: of cells and of heads."""

from typing import Any

import numpy as np

from pnpovss.tuning.outcome import Outcome
from pnpovss.tuning.rewards import REWARDS

__all__ = ["Rows", "cell_rows", "head_rows"]

Rows = list[dict[str, Any]]


def cell_rows(outcome: Outcome) -> Rows:
    """A row for each cell that was tried: on how many photos, and the mean of each reward over them; best first."""
    rows: Rows = []
    for stage in outcome.stages.values():
        for column, cell in enumerate(stage.cells):
            values = {name: stage.rewards[name][:, column] for name in REWARDS}
            tried = int(np.isfinite(values[outcome.plan.reward]).sum())
            means = {name: float(np.nanmean(of)) if tried else None for name, of in values.items()}
            rows.append({"heads": cell.heads_in_words, "threshold": cell.threshold, "photos": tried, **means})
    if not rows:
        means = outcome.rewards.mean(0)
        for cell, mean in zip(outcome.cells, means, strict=True):
            row = {"heads": cell.heads_in_words, "threshold": cell.threshold, "photos": outcome.plan.photos}
            rows.append({**row, outcome.plan.reward: float(mean)})
    return sorted(rows, key=lambda row: (-row["photos"], -row[outcome.plan.reward]))


def head_rows(outcome: Outcome) -> Rows:
    """A row for each head: its measures, means over all photos, and its best reward, with the photos that is of.

    The best of the thresholds that were tried on most photos: means over few photos and over all do not compare.
    """
    measures = {name: values.mean(0) for name, values in outcome.collected.measures().items()}
    best: dict[str, dict[str, Any]] = {}
    for row in cell_rows(outcome):  # those of most photos first, of these the best
        best.setdefault(row["heads"], row)
    rows: Rows = []
    for i, (layer, head) in enumerate(outcome.collected.heads):
        row = {"layer": layer, "head": head, **{name: float(values[i]) for name, values in measures.items()}}
        if outcome.stages:
            own = best.get(f"{layer}.{head}")
            row["photos"] = own["photos"] if own else 0
            row[outcome.plan.reward] = own[outcome.plan.reward] if own else None
        rows.append(row)
    return rows
