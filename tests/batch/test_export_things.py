"""Exports of runs that tell things of one name apart, and of a run with thousands of names."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pnpovss.batch.events import Done, Task
from pnpovss.batch.export.registry import parse_formats
from pnpovss.batch.export.run import read_run
from pnpovss.batch.export.write import export
from pnpovss.batch.export.yolo import _joined, polygons
from pnpovss.batch.job import Job
from pnpovss.batch.photo_files import checksum
from pnpovss.config import InstanceSettings
from pnpovss.errors import InvalidInputError
from pnpovss.instances.find import find_instances
from pnpovss.names import Name, parse_names
from pnpovss.results.rle import encode
from pnpovss.results.segmentation import Segmentation
from tests.support.painter import NAMES, Painter

RNG = np.random.default_rng(0)


class Splitter(Painter):
    """A painter that also tells the pieces of each name apart."""

    def __call__(self, image: Image.Image, names: tuple[Name, ...], **options: Any) -> Segmentation:
        result = super().__call__(image, names, **options)
        passes = result.heatmaps.names[None]
        chosen = InstanceSettings(split="pieces", smallest=0)
        things = find_instances(result.labels, result.scores, result.kept, passes, np.asarray(image), chosen)
        return replace(result, instances=things)


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """A run over one photo with two cats and a plant around one of them."""
    painter, path = Splitter(), tmp_path / "one.png"
    labels = np.zeros((12, 20), np.uint8)
    labels[2:10, 2:8] = labels[3:8, 12:18] = 1
    labels[:, 10] = 2
    painter.labels[12, 20] = labels
    Image.fromarray(RNG.integers(0, 255, (12, 20, 3), np.uint8)).save(path)
    job = Job(painter, parse_names(NAMES), tmp_path / "out", ("labels", "instances"))  # type: ignore[arg-type]
    assert isinstance(job.run(Task(str(path), "one")), Done)
    return tmp_path / "out"


def test_where_things_are_told_apart_each_is_an_object_of_its_own(apart: Path, tmp_path: Path):
    with Image.open(apart / "one.instances.png") as numbers:
        assert np.asarray(numbers).max() == 3
    for word in ("coco", "yolo", "voc", "labelstudio", "masks"):
        list(export(read_run(apart), parse_formats([word])[0], tmp_path / word))
    told = json.loads((tmp_path / "coco" / "annotations.json").read_text())["annotations"]
    assert [(entry["category_id"], entry["area"], entry["bbox"]) for entry in told] == [
        (1, 48, [2, 2, 6, 8]),
        (1, 30, [12, 3, 6, 5]),
        (2, 12, [10, 0, 1, 12]),
    ]
    assert all(entry["score"] == 1 for entry in told)
    assert len((tmp_path / "yolo" / "labels" / "train" / "one.txt").read_text().splitlines()) == 3
    assert (tmp_path / "voc" / "Annotations" / "one.xml").read_text().count("<object>") == 3
    [task] = json.loads((tmp_path / "labelstudio" / "tasks.json").read_text())
    assert [each["id"] for each in task["predictions"][0]["result"]] == ["1", "2", "3"]
    assert {path.name for path in (tmp_path / "masks" / "masks" / "one").iterdir()} == {"1.png", "2.png"}


def test_a_thing_in_pieces_is_one_object_of_yolo(apart: Path, tmp_path: Path):
    """Two pieces, one of them a frame, and specks: specks are left out, and a bridge between pieces is drawn."""
    mask = np.zeros((12, 20), bool)
    mask[1:6, 1:7], mask[3, 3:5] = True, False
    mask[2:8, 12:17] = True
    without_specks = mask.copy()
    mask[10, 2], mask[11, 9:13] = True, True
    record = json.loads((apart / "one.json").read_text())
    thing = {**record["instances"][0], "segmentation": encode(mask)}
    (apart / "one.json").write_text(json.dumps({**record, "instances": [thing]}))
    labels = np.where(mask, 1, 0).astype(np.uint8)
    Image.fromarray(labels).save(apart / "one.labels.png")
    name = next(file for file in record["files"] if file["kind"] == "labels")
    name["sha256"] = checksum((apart / "one.labels.png").read_bytes())
    (apart / "one.json").write_text(json.dumps({**record, "instances": [thing]}))
    list(export(read_run(apart), parse_formats(["yolo"])[0], tmp_path / "yolo"))
    assert len((tmp_path / "yolo/labels/train/one.txt").read_text().splitlines()) == 1
    supervision = pytest.importorskip("supervision")
    root = tmp_path / "yolo"
    dataset = supervision.DetectionDataset.from_yolo(
        str(root / "images/train"), str(root / "labels/train"), str(root / "data.yaml"), force_masks=True
    )
    [(_, _, found)] = dataset
    [seen] = found.mask
    assert not (without_specks & ~seen).any()
    bridge = seen & ~without_specks
    assert bridge[:, 7:12].sum() == bridge.sum() == 5, "from one piece to the other, a pixel wide"


def joined_plainly(parts: list[np.ndarray]) -> np.ndarray:
    """Every corner of what is joined with every other one, part by part; the foremost of those equally near."""
    whole, joined, left = parts[0], parts[0], parts[1:]
    while left:
        corners = np.concatenate(left)
        lengths = ((corners[:, None] - joined) ** 2).sum(-1)
        to, near = np.unravel_index(lengths.argmin(), lengths.shape)
        at = (whole == joined[near]).all(1).argmax()
        ends = np.cumsum([len(part) for part in left])
        chosen = int(np.searchsorted(ends, to, "right"))
        part = left.pop(chosen)
        around = np.roll(part, ends[chosen] - len(part) - to, 0)
        whole = np.concatenate([whole[: at + 1], around, around[:1], whole[at:]])
        joined = np.concatenate([joined, part])
    return whole


@pytest.mark.parametrize("seed", range(40))
def test_pieces_are_joined_as_if_each_corner_was_compared_with_each(seed: int):
    """Specks, frames in frames and regular patterns, where many corners are equally near."""
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(3, 25, 2)) < rng.uniform(0.05, 0.95)
    mask[:2, :2] = True
    if seed % 2:
        mask = np.kron(mask[:9, :9], np.ones(rng.integers(1, 4, 2), bool)).astype(bool)
    parts = list(polygons(mask))
    assert np.array_equal(_joined(parts), joined_plainly(parts))


def test_thousands_of_pieces_are_one_object():
    """A raster of 2,500 dots of 4 corners."""
    mask = np.kron(np.ones((50, 50), bool), np.pad(np.ones((2, 2), bool), (0, 2)))
    whole = _joined(list(polygons(mask)))
    assert len(whole) == 4 * 2500 + 2 * 2499
    assert len(np.unique(whole, axis=0)) == 4 * 2500
    assert np.abs(np.diff(whole, axis=0)).sum(1).max() == 3, "no bridge leads farther than to the next dot"


def test_things_keep_what_still_has_their_name_after_corrections_by_hand(apart: Path):
    corrected = np.array(Image.open(apart / "one.labels.png"))
    corrected[2:10, 2:8] = 0
    corrected[3, 12:18], corrected[11, 0:5] = 2, 1
    Image.fromarray(corrected).save(apart / "one.labels.png")
    [photo] = read_run(apart).photos()
    found = [(thing.name, int(thing.mask.sum()), thing.score) for thing in photo.objects()]
    assert found == [("cat", 24, None), ("potted plant", 12, None), ("cat", 5, None), ("potted plant", 6, None)]


def test_eight_thousand_names(tmp_path: Path):
    """Values of 16 bits, a record of all names, a few of the hints; formats that hold so many, and one that says no."""
    names, painter = [f"name {i}" for i in range(8000)], Painter()
    labels = RNG.integers(0, 8001, (90, 100)).astype(np.uint16)
    painter.labels[90, 100] = labels
    Image.new("RGB", (100, 90)).save(tmp_path / "1.png")
    done = Job(painter, parse_names(names), tmp_path / "out").run(Task(str(tmp_path / "1.png"), "1"))  # type: ignore[arg-type]
    assert isinstance(done, Done), done
    assert len(done.record["names"]) == 8000
    assert len(done.hints) == 21
    assert done.hints[-1].endswith("lines more")
    run = read_run(tmp_path / "out")
    for word in ("masks", "fiftyone"):
        list(export(run, parse_formats([word])[0], tmp_path / word))
        with Image.open(tmp_path / word / "labels" / "1.png") as picture:
            assert np.array_equal(np.asarray(picture), labels)
    list(export(run, parse_formats(["coco"])[0], tmp_path / "coco"))
    told = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert len(told["categories"]) == 8000
    assert len(told["annotations"]) == len(np.unique(labels[labels > 0]))
    with pytest.raises(InvalidInputError, match="254 names at most, this run has 8000; use coco"):
        list(export(run, parse_formats(["voc"])[0], tmp_path / "voc"))
