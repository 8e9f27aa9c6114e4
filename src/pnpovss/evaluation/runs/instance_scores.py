"""From the records of a run over things to its scores: by way of telling apart, and by kind of thing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pnpovss.evaluation.measures.bootstrap import Interval, mean_interval
from pnpovss.evaluation.measures.mask_ap import Marked, average_precision
from pnpovss.evaluation.measures.panoptic import PanopticCounts
from pnpovss.files.journal import Record
from pnpovss.results.rle import Rle

__all__ = ["FATES", "GROUPS", "KINDS", "ThingRow", "instance_scores", "per_thing", "plain_interval", "things_of"]

ThingRow = Mapping[str, Any]  # row, count, touches, overlap, share

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
    return {
        "photos": len(records),
        "things": sum(len(things_of(record)) for record in records),
        "ways": {way: _of_way(records, way, ways[0], len(classes)) for way in ways},
        "peaks": {name: _of_peaks(records, belongs) for name, belongs in GROUPS.items()} if _maps(records) else {},
        "heads": _of_heads(records),
    }


def _of_way(records: Sequence[Record], way: str, first: str, classes: int) -> dict[str, Any]:
    precision = average_precision([_marked(record, way) for record in records])
    pq, sq, rq = sum((_panoptic(record, way, classes) for record in records), PanopticCounts.none(classes)).means
    return {
        **{name: _plain(value) for name, value in precision.items()},
        **{"pq": _plain(pq), "sq": _plain(sq), "rq": _plain(rq)},
        "counts": plain_interval([_count_errors(record, way) for record in records]),
        "groups": {
            name: {
                "things": sum(len(each) for each in per_thing(records, belongs, lambda record, i: 1.0)),
                **{fate: plain_interval(per_thing(records, belongs, _is(way, fate))) for fate in FATES},
                "change": plain_interval(per_thing(records, belongs, _gained(way, first))),
            }
            for name, belongs in GROUPS.items()
        },
    }


def _maps(records: Sequence[Record]) -> list[str]:
    """The maps whose peaks were counted: all passes together, then each."""
    return list(dict.fromkeys(name for record in records for name in record["peaks"]))


def _of_peaks(records: Sequence[Record], belongs: Callable[[ThingRow], bool]) -> dict[str, Any]:
    whole, first, *later = _maps(records)

    def only_later(record: Record, i: int) -> float | None:
        if _peaks(record, i, first) is None:
            return None
        return float(not _peaks(record, i, first) and any(_peaks(record, i, name) for name in later))

    def nowhere(record: Record, i: int) -> float | None:
        if _peaks(record, i, first) is None:
            return None
        return float(not any(_peaks(record, i, name) for name in (whole, first, *later)))

    def shares(value: Callable[[Record, int], float | None]) -> list[float | None]:
        return plain_interval(per_thing(records, belongs, value))

    maps = (whole, first, *later)
    return {
        "own": {name: shares(lambda record, i, name=name: _has_own(record, i, name)) for name in maps},
        "each": {name: shares(lambda record, i, name=name: _peaks(record, i, name)) for name in maps},
        "only later": shares(only_later),
        "nowhere": shares(nowhere),
    }


def _of_heads(records: Sequence[Record]) -> dict[str, Any]:
    heads = list(dict.fromkeys(head for record in records for head in record["heads"]))
    return {head: _of_head([_by_head(record, head) for record in records]) for head in heads}


def _by_head(record: Record, head: str) -> Record:
    """The record of a photo, were this head all that was read."""
    seen = record["heads"][head]
    return {"truth": record["truth"], "peaks": seen["peaks"], "fates": {"pieces": seen["fates"]}}


def _of_head(records: Sequence[Record]) -> dict[str, Any]:
    return {
        name: {
            **_of_peaks(records, belongs),
            **{fate: plain_interval(per_thing(records, belongs, _is("pieces", fate))) for fate in FATES},
        }
        for name, belongs in KINDS.items()
    }


def _peaks(record: Record, i: int, name: str) -> float | None:
    """How many peaks of its own a thing has in a map; None where its name was not asked for."""
    counts = record["peaks"].get(name)
    return None if counts is None or counts[i] < 0 else float(counts[i])


def _has_own(record: Record, i: int, name: str) -> float | None:
    count = _peaks(record, i, name)
    return None if count is None else float(count > 0)


def things_of(record: Record) -> list[ThingRow]:
    """The things of the truth of a photo, crowds left out, with what is known of those around them."""
    return [{"row": each["row"], **each["neighbours"]} for each in record["truth"] if not each["crowd"]]


def per_thing(
    records: Sequence[Record], belongs: Callable[[ThingRow], bool], value: Callable[[Record, int], float | None]
) -> list[list[float]]:
    """A value of each thing that belongs, photo by photo; those whose value is None are left out."""
    chosen = [[i for i, thing in enumerate(things_of(record)) if belongs(thing)] for record in records]
    values = [[value(record, i) for i in own] for record, own in zip(records, chosen, strict=True)]
    return [[each for each in photo if each is not None] for photo in values]


def plain_interval(photos: Sequence[Sequence[float]]) -> list[float | None]:
    """Mean, lower and upper end of its 95% interval; None where they are not known."""
    with_any = [photo for photo in photos if photo]
    if not with_any:
        return [None, None, None]
    found: Interval = mean_interval(with_any)
    return [_plain(value) for value in (found.value, found.low, found.high)]


def _is(way: str, fate: str) -> Callable[[Record, int], float | None]:
    return lambda record, i: float(record["fates"][way][i] == fate)


def _gained(way: str, first: str) -> Callable[[Record, int], float | None]:
    """1 for a thing that is apart now and was not, -1 the other way round."""

    def value(record: Record, i: int) -> float | None:
        return float(record["fates"][way][i] == "apart") - float(record["fates"][first][i] == "apart")

    return value


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
    rows = [thing["row"] for thing in things_of(record)]
    found = [each["row"] for each in record["found"][way]]
    return [float(abs(found.count(row) - rows.count(row))) for row in sorted(set(rows))]


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
