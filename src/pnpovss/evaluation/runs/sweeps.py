"""How the score depends on a setting: layer and head, Salience Dropout, threshold, image size.

This is analysis. A setting read off a sweep over evaluation photos must not become a preset that is then reported on
photos of the same benchmark: choose settings without pixel labels, or on other photos.
"""

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pnpovss.backbones.base import Backbone
from pnpovss.config import Config
from pnpovss.datasets.base import Dataset
from pnpovss.errors import ConfigError
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.runs.evaluate import OnImage, Progress, fit_to_space, photos_to_do, write_summary
from pnpovss.evaluation.runs.folder import RECORDS, choose, describe, open_run
from pnpovss.evaluation.runs.heads import head_statistics, look_with_all_heads, rank_correlation
from pnpovss.evaluation.runs.variants import arm_counts, compare_arms
from pnpovss.files.journal import Journal, Record
from pnpovss.images import load_image
from pnpovss.inputs import prepare
from pnpovss.presence.base import Photo, PresenceFilter
from pnpovss.refine.pipeline import refine
from pnpovss.segmenter import Segmenter

__all__ = ["Axis", "arms_table", "heads_table", "run_heads", "sweep_arms", "table_csv"]

Axis = Literal["heads", "dropout", "threshold", "size"]

THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
PASSES = (1, 2, 4, 6)
DROPS = (10, 0.25, 0.5)
SIZES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of the recommended side

Rows = list[dict[str, Any]]


def sweep_arms(axis: Axis, config: Config, backbone: Backbone, values: Sequence[float] = ()) -> dict[str, Config]:
    """The settings of a sweep by name; the first is the one to start from.

    Args:
        axis: dropout (passes by drop rule), threshold, or size (and with it the patch grid); not heads.
        config: complete settings.
        backbone: tells which image sizes it takes.
        values: thresholds, numbers of passes, or sides in pixels; the axis's own where empty.

    Raises:
        ConfigError: a value that the setting does not take.
    """
    changes: dict[str, dict[str, Any]] = {"as set": {}}
    if axis == "threshold":
        changes |= {f"threshold {value:g}": {"threshold": float(value)} for value in values or THRESHOLDS}
    elif axis == "dropout":
        for drop in DROPS:
            for passes in _whole(axis, values) or PASSES:
                rule = {"passes": passes, "drop": drop, "ranking": "names", "weights": None}
                changes[_dropout_name(passes, drop)] = {"dropout": rule}
    elif axis == "size":
        for side in _whole(axis, values) or _sides(backbone):
            patches = side // backbone.patch
            changes[f"{side} px, {patches} x {patches} patches"] = {"image_size": side}
    else:
        raise ConfigError(f"unknown axis {axis!r}; known: {', '.join(get_args(Axis))}")
    return {name: config.replace(change) for name, change in changes.items()}


def _whole(axis: str, values: Sequence[float]) -> list[int]:
    if torn := [value for value in values if value != int(value)]:
        raise ConfigError(f"a sweep over {axis} takes whole numbers, got {torn[0]:g}")
    return [int(value) for value in values]


def _dropout_name(passes: int, drop: float) -> str:
    rule = f"{drop} patches" if isinstance(drop, int) else f"{drop:.0%}"
    return "1 pass" if passes == 1 else f"{passes} passes, drop {rule}"


def _sides(backbone: Backbone) -> list[int]:
    side, patch = backbone.recommended.image_size, backbone.patch
    return sorted({max(1, round(factor * side / patch)) * patch for factor in SIZES})


def run_heads(
    segmenter: Segmenter,
    dataset: Dataset,
    presence: PresenceFilter,
    folder: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    on_image: OnImage | None = None,
) -> dict[str, Any]:
    """The score of every layer and head, from one pass a photo: no Salience Dropout and no Dense CRF.

    Resumable; see `runner.evaluate` for the arguments.

    Returns:
        What `summary.json` holds: heads (as `heads_table`), and the rank correlation of each statistic with the mIoU.
    """
    samples, subset = choose(dataset, limit, seed)
    segmenter = fit_to_space(segmenter, dataset.space)
    one_look = Segmenter(segmenter.backbone, segmenter.config.without("dropout", "crf"), segmenter.preset)
    settings = describe("sweep heads", one_look, dataset, subset, presence.key)
    open_run(folder, settings, dataset.root, str(one_look.backbone.device))
    classes, own = dataset.space.classes, f"{one_look.config.layer}.{one_look.config.head}"
    with Journal(folder / RECORDS) as journal:
        total = arm_counts(journal.records.values(), own, len(classes))
        for new, record in enumerate(_measure(one_look, dataset, presence, photos_to_do(samples, journal)), start=1):
            journal.append(record)
            total = total + Confusion.from_sparse(record["arms"][own], len(classes))
            if on_image:
                on_image(Progress(len(journal.records), len(samples), new, record["key"], total))
        rows = heads_table(list(journal.records.values()), len(classes))
    summary = {"heads": rows, "own": own, "correlations": _correlations(rows)}
    write_summary(folder, summary)
    return summary


def _measure(
    segmenter: Segmenter, dataset: Dataset, presence: PresenceFilter, samples: Sequence[Any]
) -> Iterator[Record]:
    space, backbone, config = dataset.space, segmenter.backbone, segmenter.config
    heads = [f"{layer}.{head}" for layer, count in backbone.attention_shape.items() for head in range(count)]
    for sample in samples:
        truth, image = dataset.truth(sample), load_image(sample.image)
        begin = time.perf_counter()
        kept = presence.decide(Photo(image, sample.key, space.present(truth)), space.names).kept
        labels: Mapping[str, Any] = dict.fromkeys(heads, np.zeros(truth.shape, np.uint8))
        statistics = {}
        if kept:
            inputs = prepare(image, [space.names[i] for i in kept], backbone, config)
            looks = look_with_all_heads(backbone, inputs, gradcam=config.gradcam)
            labels = {look.key: refine(look.maps, np.asarray(image), config).labels for look in looks}
            statistics = {
                look.key: {name: round(value, 6) for name, value in head_statistics(look).items()} for look in looks
            }
        yield {
            "key": sample.key,
            "asked": list(kept),
            "seconds": round(time.perf_counter() - begin, 4),
            "arms": {
                head: Confusion.of(truth, space.predicted(found, kept), len(space.classes)).sparse
                for head, found in labels.items()
            },
            "statistics": statistics,
        }


def heads_table(records: Sequence[Record], classes: int) -> Rows:
    """One row a head: layer, head, mIoU, and the mean over photos of each statistic; best first."""
    first = next(iter(records))
    rows = []
    for arm in first["arms"]:
        layer, head = map(int, arm.split("."))
        found = [record["statistics"][arm] for record in records if record["statistics"]]
        means = {name: float(np.mean([each[name] for each in found])) for name in (found[0] if found else ())}
        rows.append({"layer": layer, "head": head, "miou": arm_counts(records, arm, classes).miou, **means})
    return sorted(rows, key=lambda row: -row["miou"])


def _correlations(rows: Rows) -> dict[str, float | None]:
    """Spearman's rank correlation of each statistic with the mIoU over the heads; None where it is not defined."""
    names = [name for name in rows[0] if name not in ("layer", "head", "miou")]
    values = {name: rank_correlation([row[name] for row in rows], [row["miou"] for row in rows]) for name in names}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def arms_table(records: Sequence[Record], arms: Mapping[str, Config], classes: int) -> Rows:
    """One row an arm: its settings along the axes of the sweeps, mIoU and 95% intervals."""
    compared = compare_arms(records, list(arms), classes)
    return [
        {
            "arm": arm,
            "image_size": config.image_size,
            "threshold": config.threshold,
            "passes": config.dropout.passes if config.dropout else 1,
            "drop": config.dropout.drop if config.dropout else None,
            "miou": compared[arm].miou,
            "low": compared[arm].low,
            "high": compared[arm].high,
            "change": compared[arm].change,
            "change_low": compared[arm].change_low,
            "change_high": compared[arm].change_high,
        }
        for arm, config in arms.items()
    ]


def table_csv(rows: Rows) -> str:
    """Rows as CSV, with a header; empty cells for None."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})
    return text.getvalue()
