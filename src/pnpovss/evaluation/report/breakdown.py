"""Where a score comes from: by object size, by how many objects and instances a photo has, by how busy it is.

All of it is read from a run's records; neither photos nor masks are needed again.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pnpovss.evaluation.measures.bootstrap import ImageCounts, Interval, interval, mean_interval
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.regions import Region
from pnpovss.evaluation.report.failures import FAILURES, Finding, find_failures, is_judged
from pnpovss.evaluation.runs.folder import Run
from pnpovss.files.journal import Record

__all__ = ["Breakdown", "Group", "Pair", "break_down", "pairs_of", "photo_scores", "regions_of"]

SIZES = {"under 1% of the photo": 0.01, "1 to 5%": 0.05, "5 to 20%": 0.2, "over 20%": 1.01}


@dataclass(frozen=True)
class Group:
    """Objects or photos of one kind.

    Attributes:
        name: which.
        count: objects (by size) or photos.
        score: mean IoU of the objects, or mIoU of the photos from their summed counts, with a 95% interval.
    """

    name: str
    count: int
    score: Interval


@dataclass(frozen=True)
class Pair:
    """A class that was called by the name of another.

    Attributes:
        label: true class.
        other: what it was called.
        share: of all pixels of the true class, in [0, 1].
        photos: in which at least a fifth of the object was called so; one or more.
    """

    label: int
    other: int
    share: float
    photos: int


@dataclass(frozen=True)
class Breakdown:
    """What can be said about a run beside its score.

    Attributes:
        groups: tables of groups by what divides them.
        boundary_iou: mean over classes of the IoU of boundaries (2% of the diagonal); NaN without objects.
        trimap_miou: mIoU of the pixels near a change of class in the truth (2% of the diagonal).
        interior_miou: of all other pixels.
        failures: by failure, worst first.
        objects: how many objects (classes in photos) are large enough to be judged.
        smaller: how many are not.
        pairs: confusions, the greatest share of the true class first.
    """

    groups: Mapping[str, Sequence[Group]]
    boundary_iou: float
    trimap_miou: float
    interior_miou: float
    failures: Mapping[str, Sequence[Finding]]
    objects: int
    smaller: int
    pairs: Sequence[Pair]


def break_down(run: Run) -> Breakdown:
    """Break down the score of a run of `pnpovss eval`, from its records."""
    records = list(run.records.values())
    classes, background = len(run.settings.classes), run.settings.background_class
    cells = [record["confusion"] for record in records]
    whole = ImageCounts.of(Confusion.each(cells, classes))
    regions = [regions_of(record) for record in records]
    total = Confusion.total(Confusion.each(cells, classes), classes)
    near = Confusion.total(Confusion.each((record["trimap"] for record in records), classes), classes)
    findings = [
        finding
        for record, own, counts in zip(records, regions, Confusion.each(cells, classes), strict=True)
        for finding in find_failures(record["key"], own, counts, record["size"], background)
    ]
    judged = [
        is_judged(region, record["size"])
        for record, own in zip(records, regions, strict=True)
        for region in own
        if region.truth
    ]
    return Breakdown(
        groups={
            "object size": _by_size(records, regions),
            "names in the photo": _by_photo(whole, regions, _objects, (1, 2)),
            "instances in the photo (pieces of the masks)": _by_photo(whole, regions, _instances, (1, 3)),
            "how busy the photo is (share of edges)": _by_terciles(records, whole),
        },
        boundary_iou=_boundary_iou([region for own in regions for region in own]),
        trimap_miou=near.miou,
        interior_miou=Confusion(total.counts - near.counts).miou,
        failures={
            mark: sorted((f for f in findings if f.failure == mark), key=lambda f: (f.iou, f.key)) for mark in FAILURES
        },
        objects=sum(judged),
        smaller=len(judged) - sum(judged),
        pairs=pairs_of(total, findings),
    )


def regions_of(record: Record) -> list[Region]:
    """The regions in a record."""
    return [Region(*row) for row in record["regions"]]


def photo_scores(run: Run) -> dict[str, float]:
    """The mIoU of each photo on its own, over the classes in its truth or prediction; best first."""
    classes = len(run.settings.classes)
    scores = {key: Confusion.from_sparse(r["confusion"], classes).miou for key, r in run.records.items()}
    there = {key: score for key, score in scores.items() if score == score}
    return dict(sorted(there.items(), key=lambda item: (-item[1], item[0])))


def _by_size(records: Sequence[Record], regions: Sequence[Sequence[Region]]) -> list[Group]:
    """Mean IoU of the objects of each size; drawn photo by photo, since objects of one photo are alike."""
    groups, low = [], 0.0
    for name, high in SIZES.items():
        ious = [
            [r.iou for r in own if low <= r.truth / (record["size"][0] * record["size"][1]) < high and r.truth]
            for record, own in zip(records, regions, strict=True)
        ]
        low = high
        holding = [photo for photo in ious if photo]
        if holding:
            groups.append(Group(name, sum(map(len, holding)), mean_interval(holding)))
    return groups


def _objects(regions: Sequence[Region]) -> int:
    return sum(region.truth > 0 for region in regions)


def _instances(regions: Sequence[Region]) -> int:
    return sum(region.truth_parts for region in regions)


def _by_photo(
    whole: ImageCounts,
    regions: Sequence[Sequence[Region]],
    count: Callable[[Sequence[Region]], int],
    edges: Sequence[int],
) -> list[Group]:
    """Photos by a count, up to each of the edges and beyond the last."""
    counts = [count(own) for own in regions]
    spans = zip((0, *edges), (*edges, max([*counts, 0])), strict=True)
    groups = []
    for low, high in spans:
        chosen = [i for i, n in enumerate(counts) if low < n <= high]
        if chosen:
            name = f"{high}" if high == low + 1 else (f"{low + 1} to {high}" if high in edges else f"{low + 1} or more")
            groups.append(Group(name, len(chosen), interval(whole.chosen(chosen))))
    return groups


def _by_terciles(records: Sequence[Record], whole: ImageCounts) -> list[Group]:
    """Photos in three groups of one size, from plain to busy."""
    order = np.argsort([record["edges"] for record in records], kind="stable")
    groups = []
    for name, chosen in zip(("plain", "medium", "busy"), np.array_split(order, 3), strict=True):
        if len(chosen):
            edges = [records[i]["edges"] for i in chosen]
            label = f"{name} ({min(edges):.1%} to {max(edges):.1%})"
            groups.append(Group(label, len(chosen), interval(whole.chosen(chosen))))
    return groups


def _boundary_iou(regions: Sequence[Region]) -> float:
    hits: Counter[int] = Counter()
    unions: Counter[int] = Counter()
    for region in regions:
        hits[region.label] += region.boundary_hit
        unions[region.label] += region.boundary_union
    values = [hits[label] / union for label, union in unions.items() if union]
    return float(np.mean(values)) if values else float("nan")


def pairs_of(total: Confusion, findings: Sequence[Finding]) -> list[Pair]:
    """Every pair of classes that some photo shows plainly, the greatest share of the true class first."""
    photos = Counter((f.label, f.other) for f in findings if f.other is not None)
    pairs = [
        Pair(label, other, int(total.counts[label, other]) / int(total.truth[label]), count)
        for (label, other), count in photos.items()
    ]
    return sorted(pairs, key=lambda pair: (-pair.share, pair.label, pair.other))
