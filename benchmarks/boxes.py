"""Judge regions by boxes, where no mask may be looked at: to choose settings, steps and checkpoints by.

    python -m benchmarks.boxes --data DIR [--model mini] [--set views.mirror=true ...] [--without crf ...] [--limit N]
        [--out FILE] [--before FILE]

DIR holds voc2012-train-448.tar and voc2012-train-boxes.json: 311 photos of VOC 2012's segmentation train list with the
boxes of their things' parts (1% of the photo and more) and each part's share of the photo. Oracle names. For each
class of each photo:

* bound: the best IoU that a region can have, given the boxes and the thing's true area A. What lies inside the boxes
  may all be right, up to A, and what lies outside is wrong: min(inside, A) / (outside + max(inside, A)). As in the
  benchmarks, numerators and denominators are summed over the photos for each class; the mean is over classes.
* box IoU: the boxes of the region's parts against the boxes of the thing's parts.
* inside: the share of the region that lies inside the boxes.
* pointing: whether the highest point of the heat map lies inside a box.

What `--out` keeps of one run, `--before` compares another one with: the change of the bound, with a 95% interval from a
bootstrap over photos. These photos are for choosing; no number on them is a result.
"""

import argparse
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool
from PIL import Image

from pnpovss import Segmenter

ARCHIVE, BOXES = "voc2012-train-448.tar", "voc2012-train-boxes.json"
WORDS = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
LEAST = 0.01
"""Parts of a region that cover less of the photo have no box, as in the table of boxes."""
GROUPS = ((0.0, 0.05), (0.05, 0.2), (0.2, 1.0))
"""Things by their share of the photo."""
DRAWS = 500


@dataclass(frozen=True)
class Thing:
    """What is known of one class in one photo.

    Attributes:
        name: the class.
        boxes: x0, y0, x1, y1 of its parts, as shares of width and height.
        area: share of the photo that the parts cover.
    """

    name: str
    boxes: tuple[tuple[float, float, float, float], ...]
    area: float

    @property
    def word(self) -> str:
        """The class as people write it."""
        return WORDS.get(self.name, self.name)


@dataclass(frozen=True)
class Judged:
    """How a region does; see the module's text.

    Attributes:
        name: its class.
        area: true share of the photo.
        hit: most of the region that can be right, as a share of the photo.
        union: least size of region and thing together, as a share of the photo.
        box_iou: boxes of the region's parts against the thing's boxes.
        inside: share of the region inside the boxes; 0 for an empty one.
        size: share of the photo that the region covers.
        pointed: whether the heat map's highest point lies inside a box.
    """

    name: str
    area: float
    hit: float
    union: float
    box_iou: float
    inside: float
    size: float
    pointed: bool


def read_things(data: Path) -> dict[str, list[Thing]]:
    """The things of each photo of the archive, those without a box left out; by path in the archive."""
    photos: dict[str, list[Thing]] = {}
    for entry in json.loads((data / BOXES).read_text())["photos"].values():
        across = (entry["width"], entry["height"]) * 2
        things = []
        for name in entry["classes"]:
            own = [box for box in entry["boxes"] if box["class"] == name]
            boxes = tuple(tuple(x / full for x, full in zip(box["box"], across, strict=True)) for box in own)
            things.append(Thing(name, boxes, sum(box["area"] for box in own)))  # type: ignore[arg-type]
        photos[entry["file"]] = things
    return photos


def read_photos(data: Path, limit: int | None = None) -> Iterator[tuple[Image.Image, list[Thing]]]:
    """Photos with what is known of them; `limit` takes as many, evenly spaced."""
    photos = read_things(data)
    names = sorted(photos)
    step = 1 if limit is None else max(1, len(names) // limit)
    with tarfile.open(data / ARCHIVE) as archive:
        for name in names[::step][:limit]:
            file = archive.extractfile(name)
            assert file is not None
            yield Image.open(io.BytesIO(file.read())).convert("RGB"), photos[name]


def box_mask(boxes: Sequence[Sequence[float]], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Pixels inside any of the boxes, which are in shares of width and height."""
    height, width = size
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes:
        mask[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = True
    return mask


def region_boxes(region: Bool[np.ndarray, "h w"]) -> list[tuple[float, float, float, float]]:
    """Boxes of a region's parts of at least `LEAST` of the photo."""
    height, width = region.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    kept = [stats[i] for i in range(1, count) if stats[i][4] >= LEAST * region.size]
    return [(x / width, y / height, (x + w) / width, (y + h) / height) for x, y, w, h, _ in kept]


def judge(region: Bool[np.ndarray, "h w"], peak: tuple[float, float], thing: Thing) -> Judged:
    """Judge one region.

    Args:
        region: what was found.
        peak: y and x of the heat map's highest point, as shares of height and width.
        thing: what is there; with at least one box.
    """
    true = box_mask(thing.boxes, region.shape)
    found = box_mask(region_boxes(region), region.shape)
    inside = float((region & true).sum()) / region.size
    size = float(region.sum()) / region.size
    return Judged(
        name=thing.name,
        area=thing.area,
        hit=min(inside, thing.area),
        union=size - inside + max(inside, thing.area),
        box_iou=float((found & true).sum() / max(1, (found | true).sum())),
        inside=inside / size if size else 0.0,
        size=size,
        pointed=any(y0 <= peak[0] < y1 and x0 <= peak[1] < x1 for x0, y0, x1, y1 in thing.boxes),
    )


def judge_photo(labels: np.ndarray, heat: np.ndarray, things: Sequence[Thing]) -> list[Judged]:
    """All regions of a photo; label i + 1 and heat map i are of thing i."""
    out = []
    for number, thing in enumerate(things):
        if thing.boxes:
            y, x = np.unravel_index(heat[number].argmax(), heat[number].shape)
            peak = ((y + 0.5) / heat.shape[1], (x + 0.5) / heat.shape[2])
            out.append(judge(labels == number + 1, peak, thing))
    return out


def summary(judged: Sequence[Judged]) -> dict[str, float]:
    """Means, in percent: of the bound over classes, of the others over things; and the bound by size of thing."""
    values = {
        "bound": _bound(judged),
        "box IoU": _mean([each.box_iou for each in judged]),
        "inside": _mean([each.inside for each in judged]),
        "pointing": _mean([each.pointed for each in judged]),
    }
    for low, high in GROUPS:
        those = [each for each in judged if low <= each.area < high]
        values[f"bound {low:.0%}-{high:.0%}"] = _mean([each.hit / each.union for each in those])
        times = [each.size / each.area for each in those]
        values[f"times too large {low:.0%}-{high:.0%}"] = float(np.median(times)) if times else float("nan")
    return values


def _bound(judged: Sequence[Judged]) -> float:
    names = sorted({each.name for each in judged})
    sums = [[(each.hit, each.union) for each in judged if each.name == name] for name in names]
    return _mean([sum(hit for hit, _ in own) / sum(union for _, union in own) for own in sums])


def _mean(values: Sequence[float]) -> float:
    return 100 * float(np.mean(values)) if values else float("nan")


def change(before: Sequence[Sequence[Judged]], after: Sequence[Sequence[Judged]]) -> str:
    """How much the bound changes, with a 95% interval from a bootstrap over photos."""
    random, every = np.random.default_rng(0), list(range(len(before)))

    def moved(rows: Sequence[int]) -> float:
        new, old = (summary([each for row in rows for each in photos[row]])["bound"] for photos in (after, before))
        return new - old

    draws = [moved(random.integers(0, len(before), len(before)).tolist()) for _ in range(DRAWS)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{moved(every):+.1f} ({low:.1f} to {high:.1f})"


def run(segmenter: Segmenter, data: Path, limit: int | None = None) -> list[list[Judged]]:
    """Judge a segmenter with oracle names, photo by photo."""
    judged = []
    for image, things in read_photos(data, limit):
        result = segmenter(image, [thing.word for thing in things])
        judged.append(judge_photo(result.labels, result.heatmaps.names, things))
    return judged


def main() -> None:
    """Parse the command line, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--set", nargs="*", action="extend", default=[], metavar="KEY=JSON")
    parser.add_argument("--without", nargs="*", action="extend", default=[])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, help="file for what is found, photo by photo, as JSON")
    parser.add_argument("--before", type=Path, help="such a file of the same photos, to compare with")
    options = parser.parse_args()
    pairs = (setting.split("=", 1) for setting in options.set)
    settings: Mapping[str, Any] = {key: json.loads(value) for key, value in pairs}
    without = ("presence", *options.without)  # names are oracle ones
    segmenter = Segmenter.from_pretrained(options.model, settings=settings, without=without)
    before = options.before and [[Judged(**each) for each in own] for own in json.loads(options.before.read_text())]
    photos = run(segmenter, options.data, options.limit)
    for key, value in summary([each for own in photos for each in own]).items():
        print(f"{key:28} {value:6.1f}")
    if options.out:
        options.out.write_text(json.dumps([[asdict(each) for each in own] for own in photos]))
    if before:
        names, others = ([[each.name for each in own] for own in run_] for run_ in (photos, before))
        if names != others:
            parser.error(
                f"{options.before} is of other photos ({len(before)}, here {len(photos)}): take the same --limit"
            )
        print(f"{'bound, change':28} {change(before, photos)}")


if __name__ == "__main__":
    main()
