"""What each step of the method, and each look at a photo, brings `mini`; and what it knows of names.

    python -m benchmarks.views --data DIR --runs DIR [--only voc2012 coco-object coco-panoptic] [--part 0/3]
    python -m benchmarks.views --data DIR --runs DIR --table benchmarks/results/views.md [--before DIR]

DIR of `--data` is that of `benchmarks.subsets`: photos for evaluation only. Parts of a set can run side by side, and
each goes on where it was stopped; the second command puts them together. `--arms`: some rows alone. `--before`: the
results of other weights, with which rows of the same photos are compared.
"""

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from benchmarks.subsets import unpack
from pnpovss.backbones.registry import load_backbone
from pnpovss.backbones.shared import share_encodings
from pnpovss.datasets import Dataset, open_dataset
from pnpovss.datasets.base import LabelSpace, Sample
from pnpovss.evaluation.measures.bootstrap import Interval, compare
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.regions import find_regions
from pnpovss.evaluation.runs.variants import variant_labels
from pnpovss.images import load_image
from pnpovss.presence import Photo, Presence, PresenceQuality, make_presence
from pnpovss.presets import read_preset

ROOTS = {"voc2012": "voc", "coco-object": "object", "coco-panoptic": "coco"}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "`default`": ("default", {}),
    "`best`": ("best", {}),
    "`best` without the mirror image": ("best", {"views.mirror": False}),
    "`best`, tiles of 0.6 alone": ("best", {"views.tiles": [0.6]}),
    "`best`, four tiles of 0.6": ("best", {"views.tiles": [0.6], "views.tiles_across": 2}),
    "without views": ("default", {"views": None}),
    "without GradCAM": ("default", {"gradcam": False}),
    "without CRF": ("default", {"crf": None}),
}
"""Preset, and what is changed in it."""
DEFAULT, BEST = "`default`", "`best`"
FILTERS: dict[str, Sequence[str]] = {
    "oracle": list(SETTINGS),
    "itm": [DEFAULT],
    "itc": [DEFAULT],
    "itm+itc": [DEFAULT, BEST],
    "itm+itc+attention": [DEFAULT, BEST],
}
"""Who says which names are there, and the settings that are measured with them."""
ARMS = [f"{spec}: {name}" for spec, names in FILTERS.items() for name in names]
GROUPS = ((0.0, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 1.01))
FOUND, RIGHT = 0.6, 0.6
"""An object is drawn too large where so much of it was found, and less than so much of the region is right."""


def main() -> None:
    """Measure a part, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder for unpacked photos and results")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--only", nargs="*", default=list(ROOTS), choices=ROOTS)
    parser.add_argument("--part", default="0/1", help="which share of the photos, counted from 0, of how many")
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS, help="which rows to measure")
    parser.add_argument("--table", type=Path, help="write the table of what was measured, and measure nothing")
    parser.add_argument("--before", type=Path, help="with --table: folder of the results of other weights")
    options = parser.parse_args()
    unpacked = unpack(options.data, options.runs)
    sets = {key: open_dataset(key, unpacked / ROOTS[key]) for key in options.only}
    if options.table:
        measured = {key: read(options.runs, key) for key in sets}
        lines = [line for key, data in sets.items() for line in table(data, measured[key]) + of_names(measured[key])]
        if options.before:
            earlier = {key: read(options.before, key) for key in sets}
            lines += against(sets, earlier, measured, weights_of(earlier))
        options.table.write_text("\n".join([*heading(weights_of(measured)), *lines]).rstrip() + "\n")
        return
    part, parts = (int(number) for number in options.part.split("/"))
    for key, dataset in sets.items():
        out = options.runs / f"views-{key}-{part}of{parts}.jsonl"
        measure(dataset, options.model, out, list(dataset)[part::parts], options.arms)


def measure(dataset: Dataset, model: str, out: Path, samples: Sequence[Sample], wanted: Sequence[str]) -> None:
    """Append one record a photo to ``out``; those that are there are not measured again."""
    space, backbone = dataset.space, share_encodings(load_backbone(model))
    fixed = {"presence": None, "background": space.background.model_dump()}
    variants = {
        name: read_preset(preset).config(backbone.card.recommended.settings).replace({**fixed, **changed})
        for name, (preset, changed) in SETTINGS.items()
    }
    specs = list(dict.fromkeys(arm.split(": ")[0] for arm in wanted))
    filters = {spec: make_presence(spec, backbone=backbone, config=variants[DEFAULT]) for spec in specs}
    cut_to_lines(out)
    there = read_records([out], backbone.card.revision) if out.exists() else []
    done = {each["key"] for each in there if set(wanted) <= set(each["arms"])}
    for sample in samples:
        if sample.key in done:
            continue
        truth, image = dataset.truth(sample), load_image(sample.image)
        photo = Photo(image, sample.key, space.present(truth))
        arms: dict[str, Any] = {}
        told: dict[str, Any] = {}
        for spec, filter_ in filters.items():
            decided = filter_.decide(photo, space.names)
            told[spec] = {"kept": decided.kept, "scores": decided.scores}
            names = [space.names[i] for i in decided.kept]
            chosen = {name: each for name, each in variants.items() if f"{spec}: {name}" in wanted}
            found = variant_labels(backbone, image, names, chosen) if names else {}
            for name in chosen:
                labels = space.predicted(found[name], decided.kept) if names else np.zeros(truth.shape, np.int64)
                arms[f"{spec}: {name}"] = record(truth, labels, space)
        with out.open("a") as file:
            line = {"key": sample.key, "weights": backbone.card.revision, "arms": arms, "names": told}
            file.write(json.dumps({**line, "truth": photo.truth}) + "\n")


def record(
    truth: Integer[np.ndarray, "h w"], labels: Integer[np.ndarray, "h w"], space: LabelSpace
) -> dict[str, list[Any]]:
    """Counts of one label map, and of each object: share of the photo, IoU, share found, share right."""
    background = 0 if space.counts_background else None
    objects = [each for each in find_regions(truth, labels, background) if each.truth]
    return {
        "confusion": [list(cell) for cell in Confusion.of(truth, labels, len(space.classes)).sparse],
        "objects": [
            [each.truth / truth.size, each.iou, each.recall, each.precision if each.predicted else 0.0]
            for each in objects
        ],
    }


def cut_to_lines(out: Path) -> None:
    """Cut a file of records back to its last whole line: a kill may have come in the middle of one."""
    if out.exists():
        os.truncate(out, out.read_bytes().rfind(b"\n") + 1)


def read_records(files: Iterable[Path], *weights: str | None) -> list[dict[str, Any]]:
    """The records of some parts; all are of the weights given, or of the first record's, or else the program ends."""
    records: list[dict[str, Any]] = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    wanted, *others = dict.fromkeys([*weights, *(each.get("weights") for each in records)]) or [None]
    if others:
        came = ", ".join(map(str, others))
        raise SystemExit(f"there are results of the weights {came}, not of {wanted}: give --runs another folder")
    return records


def read(runs: Path, key: str) -> list[Mapping[str, Any]]:
    """The records of all parts of a set, one a photo."""
    photos: dict[str, dict[str, Any]] = {}
    for found in read_records(sorted(runs.glob(f"views-{key}-*.jsonl"))):
        empty = {"key": found["key"], "weights": found.get("weights"), "arms": {}, "names": {}, "truth": found["truth"]}
        own = photos.setdefault(found["key"], empty)
        own["arms"].update(found["arms"])
        own["names"].update(found["names"])
    return list(photos.values())


def weights_of(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Which weights some results are of."""
    return str(next(iter(measured.values()))[0]["weights"])


def heading(weights: str) -> list[str]:
    """What stands above the tables."""
    return [
        f"# Views of a photo, each step left out, and both heads on names: `mini`, weights {weights}",
        "",
        f"`python -m benchmarks.views --data DIR --runs DIR`, then `--table FILE --before DIR`, {date.today()}.",
        "Subsets, field protocol; the preset `default` at 320 px but for what is named. `best` takes twenty looks:",
        "the photo, its mirror image, nine tiles of 0.6 and nine of 0.5 of its sides. Nothing was chosen on these",
        "photos. The change of the mIoU against the first row of a table has a 95% interval from a bootstrap over",
        "photos. Objects: mean IoU by share of the photo. Too large is what was found to 60% or more while less",
        "than 60% of the region is right. Earlier weights: `views-before.md`.",
        "",
    ]


def table(dataset: Dataset, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """One set's table."""
    classes = len(dataset.space.classes)
    arms = [arm for arm in records[0]["arms"] if all(arm in each["arms"] for each in records)]
    counts = {arm: [Confusion.from_sparse(each["arms"][arm]["confusion"], classes) for each in records] for arm in arms}
    compared = compare(counts)
    sizes = " | ".join(f"{low:.0%} to {min(high, 1):.0%}" for low, high in GROUPS)
    lines = [
        f"## {dataset.space.key}, {len(records)} photos",
        "",
        f"| names: settings | mIoU | change | pixels right | too large | {sizes} |",
        "|---|---|---|---|---|" + "---|" * len(GROUPS),
    ]
    for arm in arms:
        objects = np.array([row for each in records for row in each["arms"][arm]["objects"]])
        large = np.mean((objects[:, 2] >= FOUND) & (objects[:, 3] < RIGHT))
        groups = [objects[(objects[:, 0] >= low) & (objects[:, 0] < high), 1].mean() for low, high in GROUPS]
        total = Confusion.total(counts[arm], classes)
        cells = [
            arm,
            f"{100 * total.miou:.1f}",
            moved(compared[arm].change) if arm != arms[0] else "",
            f"{100 * total.pixel_accuracy:.1f}",
        ]
        cells += [f"{large:.0%}", *(f"{100 * value:.1f}" for value in groups)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def against(
    sets: Mapping[str, Dataset],
    earlier: Mapping[str, Sequence[Mapping[str, Any]]],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    weights: str,
) -> list[str]:
    """Rows of these weights beside the same rows of others, photo by photo."""
    lines = [
        f"## Against the weights before, {weights}, photo by photo",
        "",
        "| photos | names: settings | before | now | change |",
        "|---|---|---|---|---|",
    ]
    for key, dataset in sets.items():
        classes, old = len(dataset.space.classes), {each["key"]: each["arms"] for each in earlier[key]}
        both = [(old[each["key"]], each["arms"]) for each in measured[key] if each["key"] in old]
        for arm in (arm for arm in ARMS if both and all(arm in before and arm in now for before, now in both)):
            counts = {
                side: [Confusion.from_sparse(arms[number][arm]["confusion"], classes) for arms in both]
                for number, side in enumerate(("before", "now"))
            }
            compared = compare(counts)
            values = " | ".join(f"{100 * compared[side].own.value:.1f}" for side in ("before", "now"))
            lines.append(f"| {key}, {len(both)} | {arm} | {values} | {moved(compared['now'].change)} |")
    return [*lines, ""]


def moved(change: Interval) -> str:
    """A change of the mIoU in points, with its 95% interval."""
    return f"{100 * change.value:+.1f} ({100 * change.low:.1f} to {100 * change.high:.1f})"


def of_names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """How well the names are known."""
    lines = [
        "| names | average precision, mean over names | precision | recall | names kept a photo |",
        "|---|---|---|---|---|",
    ]
    for spec in (spec for spec in records[0]["names"] if all(spec in each["names"] for each in records)):
        quality = PresenceQuality()
        for each in records:
            told = each["names"][spec]
            quality.add(Presence(tuple(told["kept"]), tuple(told["scores"])), each["truth"])
        shares = (quality.mean_average_precision, quality.precision, quality.recall)
        cells = [f"{100 * share:.1f}" for share in shares]
        lines.append(f"| {spec} | {' | '.join(cells)} | {quality.mean_kept:.1f} |")
    return [*lines, ""]


if __name__ == "__main__":
    main()
