"""Things of one name told apart: how long it takes, what its settings were chosen by, and the report.

    python -m benchmarks.instances speed
    python -m benchmarks.instances choose --data DIR --boxes FILE [--preset paper]
    python -m benchmarks.instances report --data DIR --runs DIR [--out benchmarks/results]

speed: CPU seconds for a photo of 500 x 375 pixels with five regions, two peaks in each: one piece each, side by side,
and pieces all over the photo.

choose: the 311 photos of voc2012-train-448.tar, with VOC's own box of each object. FILE is a list with a line per photo
(NAME.jpg, then x0 y0 x1 y1 class for each object that is not difficult, classes counted from 0), as made from VOC's
Annotations; voc2012.txt of github.com/abeardear/pytorch-YOLO-v1 at cfdb6dd is one. Boxes of what was found are matched
with these one to one at an IoU of 0.5. No mask is looked at, and no number on these photos is a result.

report: the 50 photos of coco-panoptic-val-subset.tar (photos from coco-semantic-val-subset.tar), oracle names, with the
model's own settings and with the paper's four passes; resumable. For evaluation only: nothing may be chosen by it.
"""

import argparse
import io
import json
import platform
import statistics
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.optimize import linear_sum_assignment

from benchmarks.boxes import ARCHIVE, BOXES, WORDS
from pnpovss import Segmenter
from pnpovss.config import InstanceSettings
from pnpovss.datasets import open_dataset
from pnpovss.evaluation.report.tables import protocol_line
from pnpovss.evaluation.report.things import things_markdown
from pnpovss.evaluation.report.things_plots import plot_things
from pnpovss.evaluation.runs.engine import Progress
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.instances import run_instances
from pnpovss.files.writing import write_all
from pnpovss.inputs import prepare
from pnpovss.instances.find import find_instances
from pnpovss.presence import make_presence

VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
PRESETS = {"default": "the model's own settings", "paper": "the paper's four passes"}
TRIED: tuple[dict[str, Any], ...] = (
    *({"split": "pieces", "smallest": least} for least in (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)),
    *({"split": "pieces", "smallest": least, "small": "drop"} for least in (0.002, 0.005, 0.01)),
    *({"prominence": prominence} for prominence in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
    *({"prominence": prominence, "evidence": "passes"} for prominence in (0.3, 0.5, 0.7)),
    *({"prominence": prominence, "edges": edges} for prominence in (0.4, 0.6) for edges in (0.0, 0.25, 0.75, 1.0)),
    *({"prominence": prominence, "method": "random_walk"} for prominence in (0.4, 0.6)),
    *({"prominence": prominence, "small": "drop"} for prominence in (0.4, 0.6)),
)
MATCH = 0.5
"""IoU of boxes from which on they are of one thing."""

Box = tuple[float, float, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "choose", "report"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--limit", type=int, help="so many photos, to try whether all works")
    options = parser.parse_args()
    if options.what == "speed":
        speed()
    elif options.what == "choose":
        choose(options.data, options.boxes, options.model, options.preset or "default")
    else:
        report(options.data, options.runs, options.out, options.model, options.limit)


def speed(rounds: int = 9) -> None:
    """Print the median CPU time of each way, for regions side by side and for scattered ones."""
    photo = np.random.default_rng(0).integers(0, 256, (375, 500, 3)).astype(np.uint8)
    photo = cv2.GaussianBlur(photo, (0, 0), 5)
    rows = np.arange(34, dtype=np.float32)[:, None]
    heat = np.exp(-((rows - 8) ** 2) / 20) + 0.8 * np.exp(-((rows - 25) ** 2) / 20)
    passes = np.broadcast_to(heat, (34, 34))[None, None].repeat(5, 1).astype(np.float32)
    print(f"{date.today()}, {platform.processor() or platform.machine()}, {cv2.getNumThreads()} threads of OpenCV")
    ways = {
        "pieces": InstanceSettings(split="pieces"),
        "heat": InstanceSettings(),
        "heat, random walk": InstanceSettings(method="random_walk"),
    }
    for kind, labels in {"side by side": _columns(), "scattered": _patchwork()}.items():
        scores = np.stack([np.where(labels == i + 1, 0.8, 0.05) for i in range(5)]).astype(np.float32)
        for way, settings in ways.items():
            times, found = [], ()
            for _ in range(rounds + 1):
                begin = time.process_time()
                found = find_instances(labels, scores, range(5), passes, photo, settings)
                times.append(1000 * (time.process_time() - begin))
            print(f"{kind}, {way}: {statistics.median(times[1:]):.1f} ms, {len(found)} things")


def _columns() -> UInt8[np.ndarray, "375 500"]:
    """Five regions of one piece each, from top to bottom."""
    return np.repeat(np.arange(1, 6, dtype=np.uint8), 100)[None].repeat(375, 0)


def _patchwork() -> UInt8[np.ndarray, "375 500"]:
    """Five regions whose pieces lie all over the photo."""
    noise = np.random.default_rng(1).random((6, 375, 500)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(each, (0, 0), 25) for each in noise]).argmax(0).astype(np.uint8)


def choose(data: Path, boxes: Path, model: str, preset: str) -> None:
    """Print how each of `TRIED` does."""
    segmenter = Segmenter.from_pretrained(model, preset=preset, without=["presence"])
    judged: list[list[Counter[str]]] = [[] for _ in TRIED]
    for image, names, truth in _photos(data, boxes):
        inputs = prepare(image, [WORDS.get(name, name) for name in names], segmenter.backbone.card, segmenter.config)
        [seen] = segmenter.explain([inputs])
        result, pixels, passes = segmenter.finish(inputs, seen), np.asarray(image), seen.passes.cpu().numpy()
        for chosen, counts in zip(TRIED, judged, strict=True):
            things = find_instances(
                result.labels, result.scores, result.kept, passes, pixels, InstanceSettings(**chosen)
            )
            for index, name in enumerate(names):
                own = [(x, y, x + w, y + h) for x, y, w, h in (thing.box for thing in things if thing.index == index)]
                if truth.get(name):
                    counts.append(_judge(own, truth[name]))
    print(f"# What the settings of instances were chosen by\n\n{_chosen_by(model, preset)}\n")
    print("| settings | F1 of boxes | precision | recall where several | count off by | where several |")
    print("|---|---|---|---|---|---|")
    for chosen, counts in zip(TRIED, judged, strict=True):
        total, several = sum(counts, Counter()), [each for each in counts if each["true"] > 1]
        many = sum(several, Counter())
        cells = (
            ", ".join(f"{key} {value}" for key, value in chosen.items()),
            f"{200 * total['match'] / (total['true'] + total['found']):.1f}",
            f"{100 * total['match'] / max(1, total['found']):.1f}",
            f"{100 * many['match'] / max(1, many['true']):.1f}",
            f"{total['off'] / len(counts):.2f}",
            f"{many['off'] / max(1, len(several)):.2f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def _chosen_by(model: str, preset: str) -> str:
    return (
        f"`python -m benchmarks.instances choose --data DIR --boxes FILE --model {model} --preset {preset}`, "
        f"{date.today()}:\n311 photos of VOC 2012's train list, VOC's box of each object, oracle names, boxes matched "
        "one to one at an IoU of\n0.5. For choosing only: no number here is a result. Several: names with more than "
        "one object in the photo.\nWhat is not named is as by default, and the way is `heat` unless it says `pieces`."
    )


def _photos(data: Path, boxes: Path) -> Iterator[tuple[Image.Image, list[str], dict[str, list[Box]]]]:
    """Photo, names that are in it, and the boxes of each name's objects at the size of the photo."""
    lists = {line.split()[0]: list(map(float, line.split()[1:])) for line in boxes.read_text().splitlines() if line}
    table = json.loads((data / BOXES).read_text())["photos"]
    with tarfile.open(data / ARCHIVE) as archive:
        for key, entry in table.items():
            file = archive.extractfile(entry["file"])
            assert file is not None
            image = Image.open(io.BytesIO(file.read())).convert("RGB")
            across, down = image.width / entry["width"], image.height / entry["height"]
            values, own = lists[f"{key}.jpg"], {}
            for x0, y0, x1, y1, number in zip(*(values[i::5] for i in range(5)), strict=True):
                own.setdefault(VOC[int(number)], []).append((x0 * across, y0 * down, x1 * across, y1 * down))
            yield image, entry["classes"], own


def _judge(found: Sequence[Box], true: Sequence[Box]) -> "Counter[str]":
    overlaps = np.array([[_iou(one, other) for other in found] for one in true]).reshape(len(true), len(found))
    rows, columns = linear_sum_assignment(-overlaps)
    matches = int((overlaps[rows, columns] >= MATCH).sum())
    return Counter(match=matches, true=len(true), found=len(found), off=abs(len(true) - len(found)))


def _iou(one: Box, other: Box) -> float:
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    inside = max(0.0, width) * max(0.0, height)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return inside / (sum(areas) - inside)


def report(data: Path, runs: Path, out: Path, model: str, limit: int | None = None) -> None:
    """Run, or go on, and write instances.md with the figures of both settings; docs/instances.md shows four of them."""
    root = _unpack(data, runs)
    dataset, parts = open_dataset("coco-things", root), [_heading()]
    for preset, words in PRESETS.items():
        segmenter = Segmenter.from_pretrained(model, preset=preset)
        folder = runs / (segmenter.backbone.card.revision or "unknown")[:10] / preset
        scores = run_instances(
            segmenter,
            dataset,
            make_presence("oracle"),
            folder,
            limit=limit,
            on_image=_tell,
        )
        line = protocol_line(read_run(folder).settings)
        figures = plot_things(scores, line, out, f"instances-{preset}")
        parts.append(f"## {words[0].upper()}{words[1:]}\n\n{things_markdown(scores, line, figures)}")
    write_all({out / "instances.md": "\n".join(parts).encode()})


def _tell(progress: Progress) -> None:
    print(f"{progress.done} of {progress.of}, {progress.key}", flush=True)


def _heading() -> str:
    return (
        "# Things of one name, told apart\n\n"
        f"`python -m benchmarks.instances report --data DIR --runs DIR`, {date.today()}. Subset, oracle names.\n"
        "Settings of cuts were chosen by boxes on other photos (`choose`). Apart: the piece that covers most\n"
        "of a thing holds no other thing of its name, and no other piece holds a quarter of it; merged: that\n"
        "piece holds another one, too; missed: less than a quarter of it was found. A peak counts that rises\n"
        "10% of its map's maximum above the pass to a higher one. For what this says in words see\n"
        "docs/instances.md.\n"
    )


def _unpack(data: Path, runs: Path) -> Path:
    """The layout that `coco-things` reads."""
    root = runs / "coco"
    parts = {
        "coco-panoptic-val-subset": ("annotations", "annotations"),
        "coco-semantic-val-subset": ("images", "val2017"),
    }
    for name, (packed, wanted) in parts.items():
        if not (root / wanted).exists():
            with tarfile.open(data / f"{name}.tar") as archive:
                archive.extractall(runs / name, filter="data")
            root.mkdir(parents=True, exist_ok=True)
            (runs / name / packed).rename(root / wanted)
    return root


if __name__ == "__main__":
    main()
