"""Evaluate a segmenter on a data set: photo, names, label map, counts, one photo after the other, resumable.

summary = evaluate(segmenter, open_dataset("voc2012", root), make_presence("oracle"), Path("runs/first"))
summary["miou"]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Integer

from pnpovss.datasets.base import IGNORE, Dataset, LabelSpace
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.previews import encode_classes, encode_photo, index_png
from pnpovss.evaluation.measures.regions import BOUNDARY, edge_share, find_regions
from pnpovss.evaluation.runs.engine import Case, OnImage, Plan, fit_to_space, pace, run
from pnpovss.evaluation.runs.folder import MAPS, Run
from pnpovss.files.journal import Record
from pnpovss.presence.base import Presence, PresenceFilter
from pnpovss.presence.quality import PresenceQuality
from pnpovss.segmenter import Segmenter

__all__ = ["evaluate", "run_summary", "scores"]

Classes = Integer[np.ndarray, "h w"]


def evaluate(
    segmenter: Segmenter,
    dataset: Dataset,
    presence: PresenceFilter,
    folder: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 1,
    save_maps: bool = False,
    on_image: OnImage | None = None,
) -> dict[str, Any]:
    """Run a segmenter over a data set, or resume where a killed run stopped.

    Args:
        segmenter: its background policy becomes that of the label space, where it is auto.
        dataset: photos and truths.
        presence: which names are asked for in each photo. Give it the same backbone, from `share_encodings`, and
            photos that it has looked at are not encoded again.
        folder: of the run; new, or one with the same settings and data.
        limit: use so many photos, drawn by `seed`; the result is then called a subset.
        seed: of the draw.
        batch_size: photos the model reads at once.
        save_maps: also write each class map as a PNG, see `previews.index_png`; photos that were done without are
            segmented again for it.
        on_image: told after each photo.

    Returns:
        What `summary.json` holds: the scores over all photos.

    Raises:
        ConfigError: the folder holds a run with other settings, or of other data.
        DatasetError: a photo or mask that is missing or does not fit, by name; or nothing is left to measure.
        OutputError: see `engine.run`.
    """
    segmenter, space = fit_to_space(segmenter, dataset.space), dataset.space
    plan = Plan(
        kind="eval",
        segmenter=segmenter,
        predict=lambda cases: _predict(segmenter, space, cases, batch_size),
        record=lambda case, predicted: _record(space, case, predicted),
        score=lambda record: record["confusion"],
        summarise=lambda records: _summarise(records, space.classes),
        batch_size=batch_size,
        files=lambda case, predicted: _maps(space, case, predicted) if save_maps else {},
        file_names=lambda key: [_map_name(key)] if save_maps else [],
    )
    return run(plan, dataset, presence, folder, limit=limit, seed=seed, on_image=on_image)


def run_summary(run: Run) -> dict[str, Any]:
    """The scores of a run that was read, from its records: summary.json is not asked, which may be old or altered."""
    records = list(run.records.values())
    return {**_summarise(records, run.settings.classes), **pace(records)}


def _summarise(records: Sequence[Record], classes: Sequence[str]) -> dict[str, Any]:
    """The scores of all photos together, and how good the names were."""
    total = Confusion.total(Confusion.each((r["confusion"] for r in records), len(classes)), len(classes))
    return {**scores(total, classes), "presence": _presence_quality(records)}


def scores(confusion: Confusion, classes: Sequence[str]) -> dict[str, Any]:
    """All scores of a confusion matrix as JSON-ready values, None for NaN."""
    return {
        "miou": _plain(confusion.miou),
        "miou_of_truth": _plain(confusion.miou_of_truth),
        "pixel_accuracy": _plain(confusion.pixel_accuracy),
        "frequency_weighted_iou": _plain(confusion.frequency_weighted_iou),
        "classes": {
            name: {"iou": _plain(iou), "precision": _plain(precision), "recall": _plain(recall), "pixels": int(pixels)}
            for name, iou, precision, recall, pixels in zip(
                classes, confusion.iou, confusion.precision, confusion.recall, confusion.truth, strict=True
            )
        },
    }


def _plain(value: float) -> float | None:
    """A JSON number, or null for NaN."""
    return None if np.isnan(value) else round(float(value), 6)


def _presence_quality(records: Sequence[Record]) -> dict[str, float | int | None]:
    """How good the names were: precision, recall and average precision against the truth."""
    quality = PresenceQuality()
    for record in records:
        quality.add(Presence(tuple(record["asked"]), tuple(record["presence_scores"])), record["present"])
    return {name: value if value is None else round(value, 6) for name, value in quality.as_dict().items()}


def _predict(segmenter: Segmenter, space: LabelSpace, cases: Sequence[Case], batch_size: int) -> list[Classes]:
    """Class indices of each photo; where no name is asked for, all of it is background."""
    asked = [case for case in cases if case.names]
    pairs = ((case.image, case.names) for case in asked)
    found = segmenter.stream(pairs, batch_size=batch_size)
    labels = {case.sample.key: result.labels for case, result in zip(asked, found, strict=True)}
    nothing = {case.sample.key: np.zeros(case.truth.shape, np.uint8) for case in cases if not case.names}
    return [space.predicted({**labels, **nothing}[case.sample.key], case.presence.kept) for case in cases]


def _record(space: LabelSpace, case: Case, predicted: Classes) -> Record:
    """What is kept of one photo: counts and what explains them, all additive or per photo."""
    truth, classes = case.truth, len(space.classes)
    regions = find_regions(truth, predicted, 0 if space.counts_background else None)
    return {
        "size": list(truth.shape),
        "confusion": Confusion.of(truth, predicted, classes).sparse,
        "trimap": Confusion.of(np.where(_near_edges(truth), truth, IGNORE), predicted, classes).sparse,
        "regions": [region.row for region in regions],
        "edges": round(edge_share(np.asarray(case.image)), 5),
        "photo": encode_photo(case.image),
        "truth": encode_classes(truth, classes),
        "predicted": encode_classes(predicted, classes),
    }


def _near_edges(truth: Classes) -> Bool[np.ndarray, "h w"]:
    """Pixels within 2% of the diagonal of a change of class in the truth (the trimap)."""
    values = (truth + 1).astype(np.uint16)
    cross = np.ones((3, 3), np.uint8)
    change = cv2.dilate(values, cross) != cv2.erode(values, cross)
    steps = max(1, round(BOUNDARY * float(np.hypot(*truth.shape))))
    return cv2.dilate(change.astype(np.uint8), cross, iterations=steps) > 0


def _maps(space: LabelSpace, case: Case, predicted: Classes) -> Mapping[str, bytes]:
    return {_map_name(case.sample.key): index_png(predicted, len(space.classes))}


def _map_name(key: str) -> str:
    return f"{MAPS}/{key}.png"
