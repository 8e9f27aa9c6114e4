"""From the records of a run over things to its scores: by way of telling apart, and by kind of thing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from pnpovss.evaluation.measures.bootstrap import mean_intervals
from pnpovss.evaluation.measures.mask_ap import Marked, average_precision
from pnpovss.evaluation.measures.panoptic import PanopticCounts
from pnpovss.files.journal import Record
from pnpovss.results.rle import Rle

__all__ = ["FATES", "GROUPS", "KINDS", "ThingRow", "instance_scores"]

ThingRow = Mapping[str, Any]  # row, count, touches, overlap, share
Values = Float[np.ndarray, " thing"]  # of each thing of all photos; NaN where it is not known

FATES = ("apart", "cut up", "merged", "missed")

# Kinds of things, each by a word and what holds for it.
GROUPS: dict[str, Callable[[ThingRow], bool]] = {
    "all": lambda thing: True,
    "1 of its name": lambda thing: thing["count"] == 1,
    "2 of its name": lambda thing: thing["count"] == 2,
    "3 of its name": lambda thing: thing["count"] == 3,
    "4 and more": lambda thing: thing["count"] >= 4,
    "several, touching": lambda thing: thing["count"] > 1 and thing["touches"],
    "several, not touching": lambda thing: thing["count"] > 1 and not thing["touches"],
    "several, boxes overlap": lambda thing: thing["count"] > 1 and thing["overlap"] > 0.1,
    "several, boxes do not": lambda thing: thing["count"] > 1 and thing["overlap"] <= 0.1,
    "below 1% of the photo": lambda thing: thing["share"] < 0.01,
    "1% to 5%": lambda thing: 0.01 <= thing["share"] < 0.05,
    "5% to 20%": lambda thing: 0.05 <= thing["share"] < 0.2,
    "20% and more": lambda thing: thing["share"] >= 0.2,
}

# Those that are told of each head.
KINDS: dict[str, Callable[[ThingRow], bool]] = {
    "all": GROUPS["all"],
    "1 of its name": GROUPS["1 of its name"],
    "several of its name": lambda thing: thing["count"] > 1,
}


def instance_scores(records: Sequence[Record], classes: Sequence[str]) -> dict[str, Any]:
    """All scores as JSON-ready values, None where there is none.

    Returns:
        photos and things: how many. ways: of each way of telling apart: mask AP (`average_precision`), pq, sq and rq,
        counts (mean of |found - true| over the names of a photo, with its interval), and by group of things, with the
        95% interval: how many they are, the share of each fate, and the change of the share that is apart against the
        first way. peaks, where they were counted: by group, of each map of heat the share of things with a peak of
        their own and how many each has, and the shares with one in a later pass only, and in none. heads: by
        "layer.head" and kind of thing, the same of its maps, and the share of each fate in the pieces that it gives.
    """
    ways = list(dict.fromkeys(way for record in records for way in record["found"]))
    things = _Things.of(records)
    peaks = _peaks([record["peaks"] for record in records], things)
    return {
        "photos": len(records),
        "things": len(things.photo),
        "ways": {way: _of_way(records, things, way, ways[0], len(classes)) for way in ways},
        "peaks": {name: _of_peaks(things, things.that(belongs), peaks) for name, belongs in GROUPS.items() if peaks},
        "heads": _of_heads(records, things),
    }


@dataclass(frozen=True, eq=False)
class _Things:
    """The things of the truth of all photos in a row, crowds left out.

    Attributes:
        rows: the class of each, and what is known of those around it.
        photo: the place of its photo.
        counts: how many each photo has.
    """

    rows: list[ThingRow]
    photo: Integer[np.ndarray, " thing"]
    counts: list[int]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "_Things":
        each = [_things_of(record) for record in records]
        counts = [len(rows) for rows in each]
        return cls([row for rows in each for row in rows], np.repeat(np.arange(len(each)), counts), counts)

    def that(self, belongs: Callable[[ThingRow], bool]) -> Bool[np.ndarray, " thing"]:
        """Which things belong."""
        return np.array([belongs(row) for row in self.rows], bool)


def _of_way(records: Sequence[Record], things: _Things, way: str, first: str, classes: int) -> dict[str, Any]:
    precision = average_precision([_marked(record, way) for record in records])
    pq, sq, rq = sum((_panoptic(record, way, classes) for record in records), PanopticCounts.none(classes)).means
    errors = [_count_errors(record, way) for record in records]
    photo = np.repeat(np.arange(len(errors)), list(map(len, errors)))
    [counts] = _intervals(photo, [np.array([error for each in errors for error in each], float)])
    fates, before = (_fates([record["fates"][each] for record in records]) for each in (way, first))
    # 1 for a thing that is apart now and was not, -1 the other way round
    values = {**fates, "change": fates["apart"] - before["apart"]}
    groups = {name: things.that(belongs) for name, belongs in GROUPS.items()}
    return {
        **{name: _plain(value) for name, value in precision.items()},
        **{"pq": _plain(pq), "sq": _plain(sq), "rq": _plain(rq)},
        "counts": counts,
        "groups": {
            name: {"things": int(chosen.sum()), **_means(things, chosen, values)} for name, chosen in groups.items()
        },
    }


def _of_peaks(things: _Things, chosen: Bool[np.ndarray, " thing"], counted: Mapping[str, Values]) -> dict[str, Any]:
    """Of maps of heat: all passes together, then each."""
    _, first, *later = counted.values()
    asked = ~np.isnan(first)
    in_later, anywhere = (np.any([counts > 0 for counts in maps], 0) for maps in (later, counted.values()))
    own = {name: np.where(np.isnan(counts), np.nan, counts > 0) for name, counts in counted.items()}
    others = {
        "only later": np.where(asked, ~(first > 0) & in_later, np.nan),
        "nowhere": np.where(asked, ~anywhere, np.nan),
    }
    found = iter(
        _intervals(
            things.photo[chosen], [each[chosen] for each in (*own.values(), *counted.values(), *others.values())]
        )
    )
    return {
        "own": {name: next(found) for name in own},
        "each": {name: next(found) for name in counted},
        **{name: next(found) for name in others},
    }


def _of_heads(records: Sequence[Record], things: _Things) -> dict[str, Any]:
    heads = list(dict.fromkeys(head for record in records for head in record["heads"]))
    told: dict[str, dict[str, Any]] = {head: {} for head in heads}
    # Kind by kind: things of all heads are in the same photos, and so drawn alike.
    for kind, belongs in KINDS.items():
        chosen = things.that(belongs)
        for head in heads:
            seen = [record["heads"][head] for record in records]
            told[head][kind] = {
                **_of_peaks(things, chosen, _peaks([each["peaks"] for each in seen], things)),
                **_means(things, chosen, _fates([each["fates"] for each in seen])),
            }
    return told


def _fates(photos: Sequence[Sequence[str]]) -> dict[str, Values]:
    """Of each fate, 1 for a thing that has it, else 0."""
    fates = np.array([fate for photo in photos for fate in photo], str)
    return {fate: (fates == fate).astype(float) for fate in FATES}


def _peaks(photos: Sequence[Mapping[str, Sequence[int]]], things: _Things) -> dict[str, Values]:
    """How many peaks of its own each thing has in each map that was counted; NaN where its name was not asked for."""
    maps = list(dict.fromkeys(name for photo in photos for name in photo))
    found: dict[str, Values] = {}
    for name in maps:
        each = (photo.get(name) or [-1] * count for photo, count in zip(photos, things.counts, strict=True))
        counts = np.array([count for photo in each for count in photo], float)
        found[name] = np.where(counts < 0, np.nan, counts)
    return found


def _things_of(record: Record) -> list[ThingRow]:
    """The things of the truth of a photo, crowds left out, with what is known of those around them."""
    return [{"row": each["row"], **each["neighbours"]} for each in record["truth"] if not each["crowd"]]


def _means(
    things: _Things, chosen: Bool[np.ndarray, " thing"], values: Mapping[str, Values]
) -> dict[str, list[float | None]]:
    """The mean of each value over some of the things, as of `_intervals`."""
    found = _intervals(things.photo[chosen], [each[chosen] for each in values.values()])
    return dict(zip(values, found, strict=True))


def _intervals(photo: Integer[np.ndarray, " thing"], values: Sequence[Values]) -> list[list[float | None]]:
    """Mean of each value, lower and upper end of its 95% interval; None where they are not known.

    Values that are known of the same things are drawn together, since drawing is what takes time.

    Args:
        photo: the place of the photo of each thing.
        values: each of all these things.
    """
    found: list[list[float | None]] = [[None, None, None] for _ in values]
    alike: dict[bytes, list[int]] = {}
    for i, each in enumerate(values):
        alike.setdefault(np.isnan(each).tobytes(), []).append(i)
    for places in alike.values():
        known = ~np.isnan(values[places[0]])
        if not known.any():
            continue
        _, holding = np.unique(photo[known], return_inverse=True)  # photos without such a thing are not drawn
        sums = np.stack([np.bincount(holding, values[i][known]) for i in places], axis=1)
        for i, mean in zip(places, mean_intervals(sums, np.bincount(holding).astype(float)), strict=True):
            found[i] = [_plain(value) for value in (mean.value, mean.low, mean.high)]
    return found


def _marked(record: Record, way: str) -> tuple[list[Marked], list[Marked]]:
    truth = [Marked(each["row"], _rle(each), crowd=each["crowd"]) for each in record["truth"]]
    found = [Marked(each["row"], _rle(each), each["score"]) for each in record["found"][way]]
    return truth, found


def _rle(packed: Mapping[str, Any]) -> Rle:
    return {"size": packed["size"], "counts": packed["counts"]}


def _panoptic(record: Record, way: str, classes: int) -> PanopticCounts:
    counts = PanopticCounts.none(classes)
    for row, iou, *numbers in record["panoptic"][way]:
        counts.iou[row] = iou
        counts.matched[row], counts.false[row], counts.missed[row] = map(int, numbers)
    return counts


def _count_errors(record: Record, way: str) -> list[float]:
    """How far off the number of things is, for each name that the truth holds."""
    rows = [thing["row"] for thing in _things_of(record)]
    found = [each["row"] for each in record["found"][way]]
    return [float(abs(found.count(row) - rows.count(row))) for row in sorted(set(rows))]


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
