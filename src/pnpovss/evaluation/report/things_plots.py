"""Four figures of a run over things, with matplotlib (the extra `figures`)."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pnpovss.evaluation.runs.instance_scores import FATES
from pnpovss.files.writing import write_all
from pnpovss.results.figures.canvas import new_figure

__all__ = ["FIGURES", "plot_things"]

Scores = Mapping[str, Any]

NUMBERS = ("1 of its name", "2 of its name", "3 of its name", "4 and more")
KINDS = (
    *("several, touching", "several, not touching", "several, boxes overlap", "several, boxes do not"),
    *("below 1% of the photo", "1% to 5%", "5% to 20%", "20% and more"),
)
COLOURS = {"apart": "#009e73", "cut up": "#56b4e9", "merged": "#e69f00", "missed": "#999999"}
_FEATURE = "figures of things"


def plot_things(scores: Scores, title: str, folder: Path, stem: str = "things") -> list[str]:
    """Write the figures that there are numbers for; gives their file names.

    Args:
        scores: as `instance_scores` gives them.
        title: over each figure.
        folder: where to.
        stem: their names are this, a dash and a word of `FIGURES`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: a file cannot be written.
    """
    files = {}
    for word, (draw, needs) in FIGURES.items():
        if scores[needs]:
            figure = new_figure(8.4, 4.4, _FEATURE)
            draw(figure, scores)
            figure.suptitle(title, fontsize=8, wrap=True)
            figure.set_layout_engine("constrained")
            data = BytesIO()
            figure.savefig(data, format="png", dpi=110)
            files[folder / f"{stem}-{word}.png"] = data.getvalue()
    write_all(files)
    return [path.name for path in files]


def _fates(figure: Any, scores: Scores) -> None:
    """What becomes of things by their number: the first way and the second side by side."""
    axis, ways = figure.subplots(), list(scores["ways"])[:2]
    for k, way in enumerate(ways):
        groups, left = scores["ways"][way]["groups"], np.zeros(len(NUMBERS))
        places = np.arange(len(NUMBERS)) + 0.4 * k
        for fate in FATES:
            shares = np.array([100 * (groups[name][fate][0] or 0) for name in NUMBERS])
            bars = axis.bar(
                places,
                shares,
                0.36,
                bottom=left,
                color=COLOURS[fate],
                label=fate if k == 0 else None,
                edgecolor="white",
            )
            if fate == FATES[-1]:
                axis.bar_label(bars, [way] * len(NUMBERS), padding=1, fontsize=8)
            left += shares
    counts = [scores["ways"][ways[0]]["groups"][name]["things"] for name in NUMBERS]
    labels = [f"{name}\n{count} things" for name, count in zip(NUMBERS, counts, strict=True)]
    axis.set_xticks(np.arange(len(NUMBERS)) + 0.2 * (len(ways) - 1), labels)
    axis.set(ylabel="things [%]", title="What becomes of things, by how many of their name are in the photo")
    axis.set_ylim(0, 108)
    axis.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8)


def _kinds(figure: Any, scores: Scores) -> None:
    """The share of things that are apart, by kind of thing, for each way."""
    axis, ways = figure.subplots(), list(scores["ways"])
    for k, way in enumerate(ways):
        rows = [scores["ways"][way]["groups"][name]["apart"] for name in KINDS]
        _points(axis, rows, k, len(ways), way)
    counts = [scores["ways"][ways[0]]["groups"][name]["things"] for name in KINDS]
    axis.set_yticks(range(len(KINDS)), [f"{name} ({count})" for name, count in zip(KINDS, counts, strict=True)])
    axis.set(xlabel="told apart [%], 95% interval", title="Which things are told apart")
    axis.invert_yaxis()
    axis.legend(fontsize=8)


def _passes(figure: Any, scores: Scores) -> None:
    """The share of things with a peak of their own, by map and number."""
    axis, peaks = figure.subplots(), scores["peaks"]
    rows = {name: [peaks[group]["own"][name] for group in NUMBERS] for name in peaks["all"]["own"]}
    rows |= {"only in a later pass": [peaks[group]["only later"] for group in NUMBERS]}
    rows |= {"in none": [peaks[group]["nowhere"] for group in NUMBERS]}
    for k, (name, own) in enumerate(rows.items()):
        _points(axis, own, k, len(rows), name)
    axis.set_yticks(range(len(NUMBERS)), NUMBERS)
    axis.set(xlabel="things with a peak of their own [%], 95% interval", title="Where things have a peak of their own")
    axis.invert_yaxis()
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _heads(figure: Any, scores: Scores) -> None:
    """By layer and head: the share of things with a peak of their own, and what becomes of those that are several."""
    heads, kinds = scores["heads"], ("1 of its name", "several of its name")
    peaked, become = figure.subplots(1, 2, sharey=True)
    for k, kind in enumerate(kinds):
        _points(peaked, [found[kind]["own"]["all passes"] for found in heads.values()], k, len(kinds), kind)
    left = np.zeros(len(heads))
    for fate in FATES:
        shares = np.array([100 * (found[kinds[1]][fate][0] or 0) for found in heads.values()])
        become.barh(range(len(heads)), shares, 0.6, left=left, color=COLOURS[fate], label=fate, edgecolor="white")
        left += shares
    peaked.set_yticks(range(len(heads)), [f"layer {head.replace('.', ', head ')}" for head in heads])
    peaked.set(xlabel="things with a peak of their own [%], 95% interval", title="Peaks of each head's heat")
    become.set(xlabel="things of several of their name [%]", title="What becomes of things in its regions")
    become.set_xlim(0, 100)
    peaked.invert_yaxis()
    for axis in (peaked, become):
        axis.legend(ncols=2, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14))


FIGURES: dict[str, tuple[Callable[[Any, Scores], None], str]] = {
    "number": (_fates, "ways"),
    "kind": (_kinds, "ways"),
    "passes": (_passes, "peaks"),
    "heads": (_heads, "heads"),
}


def _points(axis: Any, rows: Sequence[Sequence[float | None]], k: int, of: int, label: str) -> None:
    """A point per row with its interval; the k-th of so many stands a little below the one before."""
    there = [(i, [100 * each for each in row if each is not None]) for i, row in enumerate(rows)]
    known = [(i, values) for i, values in there if values]
    places = [i + 0.6 * (k - (of - 1) / 2) / of for i, _ in known]
    middle = [values[0] for _, values in known]
    ends = [values if len(values) == 3 else [values[0]] * 3 for _, values in known]
    reach = [[each[0] - each[1] for each in ends], [each[2] - each[0] for each in ends]]
    axis.errorbar(middle, places, xerr=np.maximum(reach, 0), fmt="o", capsize=2, markersize=4, label=label)
