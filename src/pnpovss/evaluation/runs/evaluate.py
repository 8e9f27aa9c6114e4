"""Evaluate a segmenter on a data set: photo, names, label map, counts, one image after the other, resumable.

summary = evaluate(segmenter, open_dataset("voc2012", root), make_presence("oracle"), Path("runs/first"))
summary["miou"]
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image

from pnpovss.backbones.memory import share_encodings
from pnpovss.config import Config
from pnpovss.datasets.base import IGNORE, Dataset, LabelSpace, Sample
from pnpovss.evaluation.measures.class_png import encode_classes, index_png
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.regions import BOUNDARY, edge_share, find_regions
from pnpovss.evaluation.runs.folder import MAPS, RECORDS, SUMMARY, choose, describe, open_run
from pnpovss.files.journal import Journal, Record
from pnpovss.files.writing import write_all
from pnpovss.images import load_image
from pnpovss.presence.base import Photo, Presence, PresenceFilter
from pnpovss.presence.quality import PresenceQuality
from pnpovss.segmenter import Segmenter

__all__ = ["Progress", "evaluate", "fit_to_space", "photos_to_do", "scores", "write_summary"]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: finished images, those of earlier sittings included.
        of: all images.
        new: images finished in this sitting.
        key: the one just finished.
        confusion: of all finished images.
    """

    done: int
    of: int
    new: int
    key: str
    confusion: Confusion


OnImage = Callable[[Progress], None]


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
    """Run a segmenter over a data set, or go on where a killed run stopped.

    Args:
        segmenter: its background policy becomes that of the label space, unless it was set to another one on purpose.
        dataset: photos and truths.
        presence: which names are asked for in each photo. Give it the same backbone, from `share_encodings`, and
            photos that it has looked at are not encoded again.
        folder: of the run; new, or one with the same settings.
        limit: use so many photos, drawn by `seed`; the result is then called a subset.
        seed: of the draw.
        batch_size: photos the model reads at once.
        save_maps: also write each class map as a PNG; see `previews.index_png`.
        on_image: told after each image.

    Returns:
        What `summary.json` holds: the scores over all images.

    Raises:
        ConfigError: the folder holds a run with other settings.
        DatasetError: a photo or mask that is missing or does not fit, by name.
    """
    samples, subset = choose(dataset, limit, seed)
    segmenter = fit_to_space(segmenter, dataset.space)
    settings = describe("eval", segmenter, dataset, subset, presence.key)
    open_run(folder, settings, dataset.root, str(segmenter.backbone.device))
    classes = len(dataset.space.classes)
    with Journal(folder / RECORDS) as journal:
        todo = photos_to_do(samples, journal)
        total = Confusion.total(
            (Confusion.from_sparse(r["confusion"], classes) for r in journal.records.values()), classes
        )
        for new, found in enumerate(_measure(segmenter, dataset, presence, todo, batch_size), start=1):
            if save_maps:  # before the record: a finished image has its map
                _save_map(folder / MAPS / f"{found.sample.key}.png", found.predicted, classes)
            journal.append(found.record)
            total = total + Confusion.from_sparse(found.record["confusion"], classes)
            if on_image:
                on_image(Progress(len(journal.records), len(samples), new, found.sample.key, total))
        summary = {**scores(total, dataset.space.classes), "presence": _presence_quality(journal.records.values())}
        summary["presence_report"] = presence.report()  # of this sitting
        summary["seconds"] = round(sum(record["seconds"] for record in journal.records.values()), 2)
    write_summary(folder, summary)
    return summary


def fit_to_space(segmenter: Segmenter, space: LabelSpace) -> Segmenter:
    """The segmenter with the label space's background policy and a memory of encodings."""
    config = segmenter.config
    if config.background == Config.model_fields["background"].default:  # not set to something else on purpose
        config = config.replace({"background": space.background.model_dump()})
    return Segmenter(share_encodings(segmenter.backbone), config, segmenter.preset)


def photos_to_do(samples: Sequence[Sample], journal: Journal) -> list[Sample]:
    """Those without a record."""
    return [sample for sample in samples if sample.key not in journal.records]


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


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write `summary.json`, wholly or not at all."""
    write_all({folder / SUMMARY: json.dumps(summary, indent=1, allow_nan=False).encode()})


def _presence_quality(records: Iterable[Record]) -> dict[str, float | int | None]:
    """How good the names were: precision, recall and average precision against the truth."""
    quality = PresenceQuality()
    for record in records:
        quality.add(Presence(tuple(record["asked"]), tuple(record["presence_scores"])), record["present"])
    return {name: value if value is None else round(value, 6) for name, value in quality.as_dict().items()}


@dataclass(frozen=True, eq=False)
class _Photo:
    sample: Sample
    image: Image.Image
    truth: Integer[np.ndarray, "h w"]
    presence: Presence
    seconds: float


@dataclass(frozen=True, eq=False)
class _Measured:
    sample: Sample
    predicted: Integer[np.ndarray, "h w"]
    record: Record


def _measure(
    segmenter: Segmenter, dataset: Dataset, presence: PresenceFilter, samples: Sequence[Sample], batch_size: int
) -> Iterator[_Measured]:
    for start in range(0, len(samples), batch_size):
        photos = [_look(dataset, presence, sample) for sample in samples[start : start + batch_size]]
        begin = time.perf_counter()
        predictions = _predict(segmenter, dataset.space, photos, batch_size)
        share = (time.perf_counter() - begin) / len(photos)
        for photo, predicted in zip(photos, predictions, strict=True):
            record = _record(dataset.space, dataset.root, photo, predicted, photo.seconds + share)
            yield _Measured(photo.sample, predicted, record)


def _look(dataset: Dataset, presence: PresenceFilter, sample: Sample) -> _Photo:
    """Load a photo and its truth, and decide which names to ask for."""
    truth = dataset.truth(sample)
    image = load_image(sample.image)
    begin = time.perf_counter()
    decided = presence.decide(Photo(image, sample.key, dataset.space.present(truth)), dataset.space.names)
    return _Photo(sample, image, truth, decided, time.perf_counter() - begin)


def _predict(
    segmenter: Segmenter, space: LabelSpace, photos: Sequence[_Photo], batch_size: int
) -> list[Integer[np.ndarray, "h w"]]:
    """Class indices of each photo; where no name is asked for, all of it is background."""
    asked = [photo for photo in photos if photo.presence.kept]
    names = [[space.names[i] for i in photo.presence.kept] for photo in asked]
    found = segmenter([photo.image for photo in asked], names, batch_size=batch_size) if asked else []
    labels = {photo.sample.key: result.labels for photo, result in zip(asked, found, strict=True)}
    return [
        space.predicted(labels.get(photo.sample.key, np.zeros(photo.truth.shape, np.uint8)), photo.presence.kept)
        for photo in photos
    ]


def _record(
    space: LabelSpace, root: Path, photo: _Photo, predicted: Integer[np.ndarray, "h w"], seconds: float
) -> Record:
    """What is kept of one image: counts and what explains them, all additive or per image."""
    truth, classes = photo.truth, len(space.classes)
    regions = find_regions(truth, predicted, 0 if space.counts_background else None)
    return {
        "key": photo.sample.key,
        "image": os.path.relpath(photo.sample.image, root),
        "size": list(truth.shape),
        "asked": list(photo.presence.kept),
        "present": list(space.present(truth)),
        "presence_scores": [round(float(score), 5) for score in photo.presence.scores],
        "note": photo.presence.note,
        "seconds": round(seconds, 4),
        "confusion": Confusion.of(truth, predicted, classes).sparse,
        "trimap": Confusion.of(np.where(_near_edges(truth), truth, IGNORE), predicted, classes).sparse,
        "regions": [region.row for region in regions],
        "edges": round(edge_share(np.asarray(photo.image)), 5),
        "truth": encode_classes(truth, classes),
        "predicted": encode_classes(predicted, classes),
    }


def _near_edges(truth: Integer[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels within 2% of the diagonal of a change of class in the truth (the trimap)."""
    values = (truth + 1).astype(np.uint16)
    cross = np.ones((3, 3), np.uint8)
    change = cv2.dilate(values, cross) != cv2.erode(values, cross)
    steps = max(1, round(BOUNDARY * float(np.hypot(*truth.shape))))
    return cv2.dilate(change.astype(np.uint8), cross, iterations=steps) > 0


def _save_map(path: Path, predicted: Integer[np.ndarray, "h w"], classes: int) -> None:
    path.parent.mkdir(exist_ok=True)
    write_all({path: index_png(predicted, classes)})


def _plain(value: float) -> float | None:
    """A JSON number, or null for NaN."""
    return None if np.isnan(value) else round(float(value), 6)
