"""How the score depends on a setting: layer and head, Salience Dropout, threshold, image size.

This is analysis. A setting read off a sweep over evaluation photos must not become a preset that is then reported on
photos of the same benchmark: choose settings without pixel labels, or on other photos.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pnpovss.backbones.base import Backbone
from pnpovss.config import Config
from pnpovss.datasets.base import Dataset
from pnpovss.errors import ConfigError
from pnpovss.evaluation.measures.ranks import rank_correlation
from pnpovss.evaluation.runs.engine import Case, OnImage, Plan, fit_to_space, run
from pnpovss.evaluation.runs.variants import Labels, compare_variants, count_labels, variant_counts
from pnpovss.files.journal import Record
from pnpovss.heads import HeadLook, head_keys, head_statistics, look_with_all_heads
from pnpovss.inputs import prepare
from pnpovss.presence.base import PresenceFilter
from pnpovss.refine.pipeline import refine
from pnpovss.segmenter import Segmenter

__all__ = ["Axis", "heads_table", "run_heads", "sweep_variants", "table_csv", "variants_table"]

Axis = Literal["heads", "dropout", "threshold", "size"]

THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
PASSES = (1, 2, 4, 6)
DROPS = (10, 0.25, 0.5)
SIZES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of the recommended side

Rows = list[dict[str, Any]]


def sweep_variants(axis: Axis, config: Config, backbone: Backbone, values: Sequence[float] = ()) -> dict[str, Config]:
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
        for side in _whole(axis, values) or backbone.card.sides(SIZES):
            patches = side // backbone.card.patch
            changes[f"{side} px, {patches} x {patches} patches"] = {"image_size": side}
    else:
        raise ConfigError(f"unknown axis {axis!r}; known: {', '.join(get_args(Axis))}")
    return {name: config.replace(change) for name, change in changes.items()}


def _whole(axis: str, values: Sequence[float]) -> list[int]:
    if torn := [value for value in values if not float(value).is_integer()]:
        raise ConfigError(f"a sweep over {axis} takes whole numbers, got {torn[0]:g}")
    return [int(value) for value in values]


def _dropout_name(passes: int, drop: float) -> str:
    rule = f"{drop} patches" if isinstance(drop, int) else f"{drop:.0%}"
    return "1 pass" if passes == 1 else f"{passes} passes, drop {rule}"


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
    """The score of every layer and head, from one look per photo: no views, no Salience Dropout and no Dense CRF.

    Resumable; see `evaluate` for the arguments.

    Returns:
        What `summary.json` holds: heads (as `heads_table`), and the rank correlation of each statistic with the mIoU.
    """
    whole = fit_to_space(segmenter, dataset.space)
    one_head = whole.config.without("views", "dropout", "crf").replace({"heads": None})
    one_look = whole.replace(config=one_head)
    own = f"{one_look.config.layer}.{one_look.config.head}"

    def predict(cases: Sequence[Case]) -> list[tuple[list[HeadLook], Labels]]:
        looks = [_all_heads(one_look, case) for case in cases]
        return [(seen, _head_labels(one_look, case, seen)) for case, seen in zip(cases, looks, strict=True)]

    def record(case: Case, predicted: tuple[list[HeadLook], Labels]) -> Record:
        looks, labels = predicted
        statistics = {look.key: {k: round(v, 6) for k, v in head_statistics(look).items()} for look in looks}
        return {"variants": count_labels(dataset.space, case, labels), "statistics": statistics}

    def summarise(records: Sequence[Record]) -> dict[str, Any]:
        rows = heads_table(records, len(dataset.space.classes))
        return {"heads": rows, "own": own, "correlations": _correlations(rows)}

    plan = Plan(
        kind="sweep heads",
        segmenter=one_look,
        predict=predict,
        record=record,
        score=lambda found: found["variants"][own],
        summarise=summarise,
    )
    return run(plan, dataset, presence, folder, limit=limit, seed=seed, on_image=on_image)


def _all_heads(segmenter: Segmenter, case: Case) -> list[HeadLook]:
    """What each head sees; nothing where no name is asked for."""
    if not case.names:
        return []
    inputs = prepare(case.image, case.names, segmenter.backbone.card, segmenter.config)
    return look_with_all_heads(segmenter.backbone, inputs, segmenter.config)


def _head_labels(segmenter: Segmenter, case: Case, looks: Sequence[HeadLook]) -> Labels:
    """The label map of each head; all background where no name is asked for."""
    pixels = np.asarray(case.image)
    if looks:
        return {look.key: refine(look.maps, pixels, segmenter.config).labels for look in looks}
    return dict.fromkeys(head_keys(segmenter.backbone.card, segmenter.config), np.zeros(case.truth.shape, np.uint8))


def heads_table(records: Sequence[Record], classes: int) -> Rows:
    """One row per head: layer, head, mIoU, and the mean over photos of each statistic; best first."""
    first = next(iter(records))
    rows = []
    for variant in first["variants"]:
        layer, head = map(int, variant.split("."))
        found = [record["statistics"][variant] for record in records if record["statistics"]]
        means = {name: float(np.mean([each[name] for each in found])) for name in (found[0] if found else ())}
        rows.append({"layer": layer, "head": head, "miou": variant_counts(records, variant, classes).miou, **means})
    return sorted(rows, key=lambda row: -row["miou"])


def _correlations(rows: Rows) -> dict[str, float | None]:
    """Spearman's rank correlation of each statistic with the mIoU over the heads; None where it is not defined."""
    names = [name for name in rows[0] if name not in ("layer", "head", "miou")]
    values = {name: rank_correlation([row[name] for row in rows], [row["miou"] for row in rows]) for name in names}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def variants_table(records: Sequence[Record], variants: Mapping[str, Config], classes: int) -> Rows:
    """One row per variant: its settings along the axes of the sweeps, mIoU and 95% intervals (None: too few photos)."""
    compared = compare_variants(records, list(variants), classes)
    rows = []
    for variant, config in variants.items():
        own, change = compared[variant].own, compared[variant].change
        low, high = own.ends or (None, None)
        change_low, change_high = change.ends or (None, None)
        rows.append(
            {
                "variant": variant,
                "image_size": config.image_size,
                "threshold": config.threshold,
                "passes": config.dropout.passes if config.dropout else 1,
                "drop": config.dropout.drop if config.dropout else None,
                "miou": own.value,
                "low": low,
                "high": high,
                "change": change.value,
                "change_low": change_low,
                "change_high": change_high,
            }
        )
    return rows


def table_csv(rows: Rows) -> str:
    """Rows as CSV, with a header; empty cells for None."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})
    return text.getvalue()
