"""How well things of one name are told apart, by several ways at once; and, as a study, how the heat maps behave.

All ways start from the same regions, so that a photo is looked at once. What is kept of a photo is enough for every
score: the masks of truth and finds, what became of each thing, and how many peaks of its own it has in each map.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Integer

from pnpovss.config import InstanceSettings, Settings
from pnpovss.datasets.base import IGNORE, Dataset, LabelSpace, Thing
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.mask_ap import require_pycocotools
from pnpovss.evaluation.measures.panoptic import PanopticCounts
from pnpovss.evaluation.measures.things import fates, neighbours, own_peaks
from pnpovss.evaluation.runs.engine import Case, OnImage, Plan, fit_to_space, run
from pnpovss.evaluation.runs.instance_heads import HeadSeen, Maps, look_by_head, maps_of
from pnpovss.evaluation.runs.instance_scores import instance_scores
from pnpovss.files.journal import Record
from pnpovss.heads import head_keys
from pnpovss.inputs import prepare
from pnpovss.instances.cut import SIDE, peaks
from pnpovss.instances.find import check_installed, find_instances
from pnpovss.presence.base import PresenceFilter
from pnpovss.results.instances import Instances
from pnpovss.results.rle import encode
from pnpovss.segmenter import ONE_LOOK, Segmenter

__all__ = ["KIND", "WAYS", "instance_variants", "run_instances"]

KIND = "instances"
WAYS: dict[str, dict[str, Any]] = {
    "pieces": {"split": "pieces"},
    "heat": {"split": "heat"},
    "heat, random walk": {"split": "heat", "method": "random_walk"},
    "heat, each pass": {"split": "heat", "evidence": "passes"},
}
PROMINENCE = 0.1  # of the peaks that the study counts, of the map's maximum


@dataclass(frozen=True, eq=False)
class _Seen:
    """What was predicted for a photo.

    Attributes:
        labels: 0 is the background, i + 1 the i-th name that was asked for.
        found: the things, by way.
        maps: heat maps by what they are of: the sum of the passes, and each.
        heads: the photo by the heat of each head, by "layer.head"; the grid may be coarser.
    """

    labels: Integer[np.ndarray, "h w"]
    found: Mapping[str, Instances]
    maps: Maps
    heads: Mapping[str, HeadSeen]


def instance_variants(settings: Settings, ways: Sequence[str] = tuple(WAYS)) -> dict[str, Settings]:
    """Complete settings of each way; what they set of instances beyond that, such as `smallest`, is kept.

    Args:
        settings: where to start from.
        ways: of `WAYS`; "heat, each pass" is left out where there is one pass.
    """
    base = (settings.instances or InstanceSettings()).model_dump()
    several = settings.dropout is not None and settings.dropout.passes > 1
    chosen = [way for way in ways if several or way != "heat, each pass"]
    return {
        way: Settings.model_validate(settings.replace({"instances": {**base, **WAYS[way]}}).model_dump())
        for way in chosen
    }


def run_instances(
    segmenter: Segmenter,
    dataset: Dataset,
    presence: PresenceFilter,
    folder: Path,
    *,
    ways: Sequence[str] = tuple(WAYS),
    study: bool = True,
    limit: int | None = None,
    seed: int = 0,
    on_image: OnImage | None = None,
) -> dict[str, Any]:
    """Tell things apart in every photo; resumable, see `evaluate` for the other arguments.

    Args:
        segmenter: whose regions are cut.
        dataset: photos, and a truth that tells things apart (`Dataset.things`).
        presence: which names are asked for.
        folder: of the run.
        ways: of `WAYS`; the first is what the others are compared with.
        study: whether the peaks of all passes, layers and heads are counted, too.
        limit: use so many photos, drawn by `seed`.
        seed: of the draw.
        on_image: told after each photo.

    Returns:
        What `summary.json` holds: see `instance_scores`.

    Raises:
        MissingExtraError: pycocotools or scikit-image is not installed.
    """
    require_pycocotools()
    segmenter = fit_to_space(segmenter, dataset.space)
    variants = instance_variants(segmenter.config, ways)
    for settings in variants.values():
        check_installed(settings.instances)
    plan = Plan(
        kind=KIND,
        segmenter=segmenter,
        predict=lambda cases: [_predict(segmenter, case, variants, study) for case in cases],
        record=lambda case, seen: _record(dataset, case, seen),
        score=lambda record: record["confusion"],
        summarise=lambda records: instance_scores(records, dataset.space.classes),
        variants=variants,
    )
    return run(plan, dataset, presence, folder, limit=limit, seed=seed, on_image=on_image)


def _predict(segmenter: Segmenter, case: Case, variants: Mapping[str, Settings], study: bool) -> _Seen:
    if not case.names:
        return _nothing(segmenter, case, variants, study)
    inputs = prepare(case.image, case.names, segmenter.backbone.card, segmenter.config)
    [explained] = segmenter.explain([inputs])
    result, passes = segmenter.finish(inputs, explained), explained.passes.cpu().numpy()
    pixels = np.asarray(case.image)
    found = {
        way: find_instances(result.labels, result.scores, explained.kept, passes, pixels, settings.instances)
        for way, settings in variants.items()
        if settings.instances is not None
    }
    if not study:
        return _Seen(result.labels, found, {}, {})
    return _Seen(result.labels, found, maps_of(passes), look_by_head(segmenter, case.image, case.names))


def _nothing(segmenter: Segmenter, case: Case, variants: Mapping[str, Settings], study: bool) -> _Seen:
    """Where no name is asked for, every way and every head finds nothing: all things of the truth are missed."""
    shape = case.truth.shape
    none = Instances(np.zeros(shape, np.uint16), (), (), np.zeros((0, 1, 1), np.float32))
    labels, found = np.zeros(shape, np.uint8), dict.fromkeys(variants, none)
    if not study:
        return _Seen(labels, found, {}, {})
    passes = (segmenter.config.dropout or ONE_LOOK).passes
    maps = maps_of(np.zeros((passes, 0, 1, 1), np.float32))
    return _Seen(
        labels, found, maps, dict.fromkeys(head_keys(segmenter.backbone.card, segmenter.config), HeadSeen(maps, none))
    )


def _record(dataset: Dataset, case: Case, seen: _Seen) -> Record:
    space, truth = dataset.space, dataset.things(case.sample)
    predicted = space.predicted(seen.labels, case.presence.kept)
    things = [thing for thing in truth if not thing.crowd]
    void = (case.truth == IGNORE) & ~_any([thing.mask for thing in truth if thing.crowd], case.truth.shape)
    found = {way: _things(each, space, case) for way, each in seen.found.items()}
    asked = [space.first + index for index in case.presence.kept]

    def head(by: HeadSeen) -> Record:
        pieces = [each for each, _ in _things(by.found, space, case)]
        return {"peaks": _peaks(things, by.maps, asked), "fates": fates(things, pieces)}

    return {
        "confusion": Confusion.of(case.truth, predicted, len(space.classes)).sparse,
        "truth": [*_rows(things), *({"row": each.row, **_packed(each)} for each in truth if each.crowd)],
        "found": {
            way: [{"row": each.row, **_packed(each), "score": score} for each, score in pairs]
            for way, pairs in found.items()
        },
        "panoptic": {
            way: _counts(PanopticCounts.of(truth, [each for each, _ in pairs], void, len(space.classes)))
            for way, pairs in found.items()
        },
        "fates": {way: fates(things, [each for each, _ in pairs]) for way, pairs in found.items()},
        "peaks": _peaks(things, seen.maps, asked),
        "heads": {key: head(each) for key, each in seen.heads.items()},
    }


def _things(found: Instances, space: LabelSpace, case: Case) -> list[tuple[Thing, float]]:
    """Found things with their scores, as those of the truth are held."""
    return [(Thing(space.first + case.presence.kept[each.index], each.mask), round(each.score, 6)) for each in found]


def _any(masks: Sequence[Bool[np.ndarray, "h w"]], shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """Where any of the masks is set."""
    return np.logical_or.reduce([np.zeros(shape, bool), *masks])


def _rows(things: Sequence[Thing]) -> Iterator[Record]:
    """Things of the truth, with what is known of those around them."""
    for thing, among in zip(things, neighbours(things), strict=True):
        known = {**vars(among), "overlap": round(among.overlap, 4), "share": round(among.share, 6)}
        yield {"row": thing.row, **_packed(thing), "neighbours": known}


def _packed(thing: Thing) -> Record:
    rle = encode(thing.mask)
    return {"size": rle["size"], "counts": rle["counts"], "crowd": thing.crowd}


def _counts(counts: PanopticCounts) -> list[list[float]]:
    """Class, sum of IoU, matches, false, missed; of classes that have any."""
    rows = np.flatnonzero(counts.matched + counts.false + counts.missed).tolist()
    fields = (counts.iou, counts.matched, counts.false, counts.missed)
    return [[row, *(round(float(field[row]), 6) for field in fields)] for row in rows]


def _peaks(things: Sequence[Thing], maps: Maps, asked: Sequence[int]) -> dict[str, list[int]]:
    """How many peaks of its own each thing has in each map; -1 where its name was not asked for."""
    if not maps:
        return {}
    whole, *passes = maps
    counted = {name: _own_peaks(things, maps[name], asked) for name in passes}
    together = counted[passes[0]] if len(passes) == 1 else _own_peaks(things, maps[whole], asked)
    return {whole: together, **counted}


def _own_peaks(things: Sequence[Thing], maps: Float[np.ndarray, "name gh gw"], asked: Sequence[int]) -> list[int]:
    counts = [-1] * len(things)
    for place, row in enumerate(asked):
        own = [i for i, thing in enumerate(things) if thing.row == row]
        if not own:
            continue
        height, width = things[own[0]].mask.shape
        scale = SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        heat = cv2.resize(maps[place].astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        top, reach = float(heat.max()), max(1, round(SIDE / max(maps.shape[1:]) / 2))  # half a patch
        everywhere = np.ones(heat.shape, bool)
        summits = peaks(heat, everywhere, PROMINENCE, top) if top > 0 else np.zeros(heat.shape, np.int32)
        for i, count in zip(own, own_peaks([things[i] for i in own], summits, heat, reach), strict=True):
            counts[i] = count
    return counts
