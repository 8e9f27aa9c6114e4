"""The report of a run over things in Markdown: what the plain answer separates, what cuts add, where heat peaks."""

from collections.abc import Mapping, Sequence
from typing import Any

from pnpovss.evaluation.runs.instance_scores import FATES, GROUPS, KINDS

__all__ = ["things_markdown"]

Scores = Mapping[str, Any]

_INTERVALS = "Shares are in percent, with 95% intervals from a bootstrap over photos where there are enough of them."
_HEADS = (
    "Each head by itself, without views: peaks of its heat in all passes together, and what becomes of all things in "
    "the connected pieces of the regions that it gives without Dense CRF. What is dropped between passes is the same "
    "for all of them."
)


def things_markdown(scores: Scores, measured: str, figures: Sequence[str] = ()) -> str:
    """Tables, and below them the figures.

    Args:
        scores: as `instance_scores` gives them.
        measured: what was measured, and how, in a line.
        figures: their file names.
    """
    parts = [
        f"{measured}: {scores['things']} things in {scores['photos']} photos. {_INTERVALS}",
        *([_ways(scores["ways"]), _groups(scores["ways"])] if scores["ways"] else []),
        *([_peaks(scores["peaks"])] if scores["peaks"] else []),
        *([_heads(scores["heads"])] if scores["heads"] else []),
        *(f"![{name}]({name})" for name in figures),
    ]
    return "\n\n".join(parts) + "\n"


def _ways(ways: Mapping[str, Scores]) -> str:
    """All scores of each way of telling apart."""
    rows = [
        (
            way,
            *(_percent(found[key]) for key in ("ap", "ap50", "small", "medium", "large", "pq", "sq", "rq")),
            _number(found["counts"]),
        )
        for way, found in ways.items()
    ]
    heading = ("way", "AP", "AP50", "AP small", "AP medium", "AP large", "PQ", "SQ", "RQ", "count off by")
    return "### Scores\n\n" + _table(heading, rows)


def _groups(ways: Mapping[str, Scores]) -> str:
    """What became of each kind of thing: all fates by the first way, and what the others change."""
    first, *others = ways
    rows = []
    for group in GROUPS:
        plain = ways[first]["groups"][group]
        fates = (_share(plain["apart"]), *(_percent(plain[fate][0]) for fate in FATES[1:]))
        more = [
            f"{_percent(ways[way]['groups'][group]['apart'][0])}, {_share(ways[way]['groups'][group]['change'], '+')}"
            for way in others
        ]
        rows.append((group, str(plain["things"]), *fates, *more))
    heading = (
        "things",
        "number",
        *(f"{first}: {fate}" for fate in FATES),
        *(f"{way}: apart, change" for way in others),
    )
    return "### What becomes of things\n\n" + _table(heading, rows)


def _peaks(peaks: Mapping[str, Scores]) -> str:
    """Where things have a peak of their own."""
    maps = list(peaks["all"]["own"])
    rows = [
        (
            group,
            *(_share(found["own"][name]) for name in maps),
            _share(found["only later"]),
            _share(found["nowhere"]),
            _number(found["each"][maps[0]]),
        )
        for group, found in peaks.items()
    ]
    heading = ("things", *(f"own peak, {name}" for name in maps), "only in a later pass", "in none", "peaks per thing")
    return "### Peaks of heat\n\n" + _table(heading, rows)


def _heads(heads: Mapping[str, Scores]) -> str:
    """Peaks of each head's own heat, and what becomes of things in the pieces that it alone gives."""
    kinds, several = list(KINDS), "several of its name"
    rows = [
        (
            head,
            *(_share(found[kind]["own"]["all passes"]) for kind in kinds),
            *(_number(found[kind]["each"]["all passes"]) for kind in kinds[1:]),
            *(_percent(found[several][key][0]) for key in ("only later", "nowhere")),
            *(_share(found["all"][fate]) for fate in ("apart",)),
            *(_percent(found["all"][fate][0]) for fate in ("merged", "missed")),
        )
        for head, found in heads.items()
    ]
    heading = (
        "layer.head",
        *(f"own peak, {kind}" for kind in kinds),
        *(f"peaks per thing, {kind}" for kind in kinds[1:]),
        "several: only in a later pass",
        "several: in none",
        *("apart", "merged", "missed"),
    )
    return f"### By layer and head\n\n{_HEADS}\n\n" + _table(heading, rows)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows))


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def _share(interval: Sequence[float | None], sign: str = "") -> str:
    value, low, high = interval
    if low is None or high is None:
        return _percent(value, sign)
    return f"{_percent(value, sign)} ({_percent(low, sign)} to {_percent(high, sign)})"


def _number(interval: Sequence[float | None]) -> str:
    value, low, high = interval
    if value is None or low is None or high is None:
        return "-" if value is None else f"{value:.2f}"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
