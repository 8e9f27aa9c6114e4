"""Many settings on the same photos: one pass over the data, and nothing computed twice that two variants share.

Variants that differ only after the saliency maps share the maps; variants that look at the same pixels share the
encodings (Salience Dropout's first look is everybody's); variants with the same Dense CRF share its filters. All of
this is exact.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import Backbone
from pnpovss.config import Config, CrfSettings
from pnpovss.datasets.base import Dataset, LabelSpace
from pnpovss.evaluation.measures.bootstrap import DRAWS, Compared, compare
from pnpovss.evaluation.measures.confusion import Confusion, Sparse
from pnpovss.evaluation.runs.engine import Case, OnImage, Plan, fit_to_space, run
from pnpovss.evaluation.runs.evaluate import scores
from pnpovss.files.journal import Record
from pnpovss.inputs import prepare
from pnpovss.names import Name
from pnpovss.presence.base import PresenceFilter
from pnpovss.refine.photo_crf import PhotoCrf
from pnpovss.refine.pipeline import photo_beside, refine
from pnpovss.segmenter import Segmenter

__all__ = ["compare_variants", "count_labels", "run_variants", "variant_counts", "variant_labels"]

Labels = Mapping[str, Integer[np.ndarray, "h w"]]  # by variant


def run_variants(
    kind: str,
    segmenter: Segmenter,
    dataset: Dataset,
    presence: PresenceFilter,
    variants: Mapping[str, Config],
    folder: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    on_image: OnImage | None = None,
) -> dict[str, Any]:
    """Evaluate every variant on every photo; resumable as `evaluate` is.

    Args:
        kind: what the run is called in its folder.
        segmenter: brings the backbone; its settings are recorded.
        dataset: photos and truths.
        presence: which names are asked for, the same in all variants.
        variants: settings by name; the first is what the others are compared with. The background policy, where it is
            auto, becomes that of the label space, as in `evaluate`.
        folder: of the run.
        limit: use so many photos, drawn by `seed`.
        seed: of the draw.
        on_image: told after each photo, with the counts of the first variant.

    Returns:
        What `summary.json` holds: scores by variant, with 95% intervals of the mIoU and of its change.
    """
    segmenter, space = fit_to_space(segmenter, dataset.space), dataset.space
    fitted = {name: fit_to_space(Segmenter(segmenter.backbone, each), space).config for name, each in variants.items()}
    first = next(iter(fitted))
    plan = Plan(
        kind=kind,
        segmenter=segmenter,
        predict=lambda cases: [_labels(segmenter.backbone, case, fitted) for case in cases],
        record=lambda case, labels: {"variants": count_labels(space, case, labels)},
        score=lambda record: record["variants"][first],
        summarise=lambda records: _summarise(records, list(fitted), space.classes),
        variants=fitted,
    )
    return run(plan, dataset, presence, folder, limit=limit, seed=seed, on_image=on_image)


def _labels(backbone: Backbone, case: Case, variants: Mapping[str, Config]) -> Labels:
    if not case.names:  # nothing to ask for: all of it is background
        return dict.fromkeys(variants, np.zeros(case.truth.shape, np.uint8))
    return variant_labels(backbone, case.image, case.names, variants)


def variant_labels(
    backbone: Backbone, image: Image.Image, names: Sequence[Name], variants: Mapping[str, Config]
) -> dict[str, Integer[np.ndarray, "h w"]]:
    """The label map of one photo under each variant, as `Segmenter(backbone, variant)(image, names).labels`.

    Args:
        backbone: give it from `share_encodings`, or nothing is shared between variants of different saliency.
        image: RGB.
        names: what to look for.
        variants: complete settings by name.
    """
    pixels = np.asarray(image)
    maps: dict[Config, Float[Tensor, "name gh gw"]] = {}
    filters: dict[CrfSettings, PhotoCrf] = {}
    labels = {}
    for variant, config in variants.items():
        looks = _saliency_part(config)
        if looks not in maps:
            segmenter = Segmenter(backbone, looks)
            maps[looks] = segmenter.explain([prepare(image, names, backbone.card, segmenter.config)])[0].names
        if config.crf is not None and config.crf not in filters:
            filters[config.crf] = PhotoCrf(photo_beside(maps[looks], pixels), config.crf)
        crf = None if config.crf is None else filters[config.crf]
        labels[variant] = refine(maps[looks], pixels, config, crf).labels
    return labels


def _saliency_part(config: Config) -> Config:
    """The settings with all that comes after the saliency maps made equal."""
    same = Config.preset("default")
    return config.model_copy(
        update={field: getattr(same, field) for field in ("threshold", "background", "blur", "crf")}
    )


def count_labels(space: LabelSpace, case: Case, labels: Labels) -> dict[str, Sparse]:
    """The confusion counts of each variant's label map."""
    return {
        variant: Confusion.of(case.truth, space.predicted(found, case.presence.kept), len(space.classes)).sparse
        for variant, found in labels.items()
    }


def variant_counts(records: Iterable[Record], variant: str, classes: int) -> Confusion:
    """The sum over all photos of one variant."""
    return Confusion.total(_by_photo(records, variant, classes), classes)


def compare_variants(records: Sequence[Record], variants: Sequence[str], classes: int) -> dict[str, Compared]:
    """Each variant's mIoU and its difference to the first, with 95% intervals over photos, paired."""
    return compare({name: _by_photo(records, name, classes) for name in variants})


def _by_photo(records: Iterable[Record], variant: str, classes: int) -> Iterator[Confusion]:
    return Confusion.each((record["variants"][variant] for record in records), classes)


def _summarise(records: Sequence[Record], variants: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Scores of every variant, and its mIoU and change against the first with 95% intervals."""
    compared = compare_variants(records, variants, len(classes))
    return {
        "reference": variants[0],
        "draws": DRAWS,
        "variants": {
            name: {
                **scores(variant_counts(records, name, len(classes)), classes),
                "miou_interval": found.own.ends,
                "change": found.change.value,
                "change_interval": found.change.ends,
            }
            for name, found in compared.items()
        },
    }
