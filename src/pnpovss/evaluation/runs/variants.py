"""Many settings on the same photos: one pass over the data, and nothing computed twice that two arms have in common.

Arms that differ only after the saliency maps share the maps; arms that look at the same pixels share the encodings
(Salience Dropout's first look is everybody's); arms with the same Dense CRF share its filters. All of this is exact.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import Backbone
from pnpovss.backbones.memory import share_encodings
from pnpovss.config import Config, CrfSettings
from pnpovss.datasets.base import Dataset, LabelSpace
from pnpovss.densecrf import DenseCRF
from pnpovss.evaluation.measures.bootstrap import DRAWS, ImageCounts, difference, interval
from pnpovss.evaluation.measures.confusion import Confusion, Sparse
from pnpovss.evaluation.runs.evaluate import OnImage, Progress, fit_to_space, photos_to_do, scores, write_summary
from pnpovss.evaluation.runs.folder import RECORDS, choose, describe, open_run
from pnpovss.files.journal import Journal, Record
from pnpovss.images import load_image
from pnpovss.inputs import prepare
from pnpovss.names import Name
from pnpovss.presence.base import Photo, PresenceFilter
from pnpovss.refine.pipeline import crf_terms, refine
from pnpovss.segmenter import Segmenter

__all__ = ["arm_counts", "arm_labels", "compare_arms", "run_arms", "summarise_arms"]


def arm_labels(
    backbone: Backbone, image: Image.Image, names: Sequence[Name], arms: Mapping[str, Config]
) -> dict[str, Integer[np.ndarray, "h w"]]:
    """The label map of one photo under each arm, as `Segmenter(backbone, arm)(image, names).labels`.

    Args:
        backbone: give it from `share_encodings`, or nothing is shared between arms of different saliency.
        image: RGB.
        names: what to look for.
        arms: complete settings by name.
    """
    pixels = np.asarray(image)
    maps: dict[Config, Float[Tensor, "name gh gw"]] = {}
    filters: dict[CrfSettings, DenseCRF] = {}
    labels = {}
    for arm, config in arms.items():
        looks = _saliency_part(config)
        if looks not in maps:
            segmenter = Segmenter(backbone, looks)
            maps[looks] = segmenter.explain([prepare(image, names, backbone, segmenter.config)])[0].names
        if config.crf is not None and config.crf not in filters:
            filters[config.crf] = DenseCRF(pixels, pairwise=crf_terms(config.crf))
        crf = None if config.crf is None else filters[config.crf]
        labels[arm] = refine(maps[looks], pixels, config, crf).labels
    return labels


def _saliency_part(config: Config) -> Config:
    """The settings with all that comes after the saliency maps made equal."""
    same = Config.preset("default")
    return config.model_copy(
        update={field: getattr(same, field) for field in ("threshold", "background", "blur", "crf")}
    )


def run_arms(
    kind: str,
    segmenter: Segmenter,
    dataset: Dataset,
    presence: PresenceFilter,
    arms: Mapping[str, Config],
    folder: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    on_image: OnImage | None = None,
) -> dict[str, Any]:
    """Evaluate every arm on every photo; resumable as `runner.evaluate` is.

    Args:
        kind: what the run is called in its folder.
        segmenter: brings the backbone; its settings are recorded.
        dataset: photos and truths.
        presence: which names are asked for, the same in all arms.
        arms: settings by name; the first is what the others are compared with. The background policy becomes that of
            the label space, as in `evaluate`.
        folder: of the run.
        limit: use so many photos, drawn by `seed`.
        seed: of the draw.
        on_image: told after each photo, with the counts of the first arm.

    Returns:
        What `summary.json` holds; see `summarise_arms`.
    """
    samples, subset = choose(dataset, limit, seed)
    segmenter = fit_to_space(segmenter, dataset.space)
    backbone = share_encodings(segmenter.backbone)
    fitted = {name: fit_to_space(Segmenter(backbone, arm), dataset.space).config for name, arm in arms.items()}
    settings = describe(kind, segmenter, dataset, subset, presence.key, fitted)
    open_run(folder, settings, dataset.root, str(backbone.device))
    classes = dataset.space.classes
    first = next(iter(fitted))
    with Journal(folder / RECORDS) as journal:
        total = arm_counts(journal.records.values(), first, len(classes))
        for new, record in enumerate(
            _measure(backbone, dataset, presence, fitted, photos_to_do(samples, journal)), start=1
        ):
            journal.append(record)
            total = total + Confusion.from_sparse(record["arms"][first], len(classes))
            if on_image:
                on_image(Progress(len(journal.records), len(samples), new, record["key"], total))
        summary = summarise_arms(list(journal.records.values()), list(fitted), classes)
        summary["seconds"] = round(sum(record["seconds"] for record in journal.records.values()), 2)
    write_summary(folder, summary)
    return summary


def _measure(
    backbone: Backbone, dataset: Dataset, presence: PresenceFilter, arms: Mapping[str, Config], samples: Sequence[Any]
) -> Iterator[Record]:
    space = dataset.space
    for sample in samples:
        truth, image = dataset.truth(sample), load_image(sample.image)
        present = space.present(truth)
        begin = time.perf_counter()
        kept = presence.decide(Photo(image, sample.key, present), space.names).kept
        labels = _labels(backbone, image, space, kept, arms)
        seconds = time.perf_counter() - begin
        counts = {arm: _count(space, truth, found, kept) for arm, found in labels.items()}
        yield {
            "key": sample.key,
            "asked": list(kept),
            "present": list(present),
            "seconds": round(seconds, 4),
            "arms": counts,
        }


def _labels(
    backbone: Backbone, image: Image.Image, space: LabelSpace, kept: Sequence[int], arms: Mapping[str, Config]
) -> dict[str, Integer[np.ndarray, "h w"]]:
    if not kept:  # nothing to ask for: all of it is background
        nothing = np.zeros((image.height, image.width), np.uint8)
        return dict.fromkeys(arms, nothing)
    return arm_labels(backbone, image, [space.names[i] for i in kept], arms)


def _count(
    space: LabelSpace, truth: Integer[np.ndarray, "h w"], labels: Integer[np.ndarray, "h w"], kept: Sequence[int]
) -> Sparse:
    return Confusion.of(truth, space.predicted(labels, kept), len(space.classes)).sparse


def arm_counts(records: Any, arm: str, classes: int) -> Confusion:
    """The sum over all photos of one arm."""
    return Confusion.total((Confusion.from_sparse(record["arms"][arm], classes) for record in records), classes)


@dataclass(frozen=True)
class _Compared:
    miou: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float


def compare_arms(records: Sequence[Record], arms: Sequence[str], classes: int) -> dict[str, _Compared]:
    """Each arm's mIoU and its difference to the first arm, with 95% intervals over photos, paired."""
    counts = {
        arm: ImageCounts.of([Confusion.from_sparse(record["arms"][arm], classes) for record in records]) for arm in arms
    }
    reference = counts[arms[0]]
    compared = {}
    for arm in arms:
        own, change = interval(counts[arm]), difference(counts[arm], reference)
        compared[arm] = _Compared(own.value, own.low, own.high, change.value, change.low, change.high)
    return compared


def summarise_arms(records: Sequence[Record], arms: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Scores of every arm, and its mIoU and change against the first with 95% intervals."""
    compared = compare_arms(records, arms, len(classes))
    return {
        "reference": arms[0],
        "draws": DRAWS,
        "arms": {
            arm: {
                **scores(arm_counts(records, arm, len(classes)), classes),
                "miou_interval": [compared[arm].low, compared[arm].high],
                "change": compared[arm].change,
                "change_interval": [compared[arm].change_low, compared[arm].change_high],
            }
            for arm in arms
        },
    }
