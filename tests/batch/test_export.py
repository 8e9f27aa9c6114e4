"""Runs in the formats of other tools, read back by other tools: the same masks, pixel by pixel."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pnpovss import plugins
from pnpovss.batch.events import Done, Skipped, Task
from pnpovss.batch.export import registry
from pnpovss.batch.export import run as run_module
from pnpovss.batch.export.label_studio import brush_rle
from pnpovss.batch.export.mark import MARK, is_export, mark
from pnpovss.batch.export.photos import flat_name
from pnpovss.batch.export.registry import known_formats, parse_formats
from pnpovss.batch.export.run import DECISIONS, read_run
from pnpovss.batch.export.write import export
from pnpovss.batch.export.yolo import polygons
from pnpovss.batch.folder import folder_at
from pnpovss.batch.job import Job
from pnpovss.config import Config
from pnpovss.errors import InvalidInputError, OutputError
from pnpovss.names import parse_names
from pnpovss.segmenter import Segmenter
from tests.support import foreign_readers
from tests.support.fakes import colour_backbone
from tests.support.gray_png import gray_png
from tests.support.painter import NAMES, Painter

READERS = list(foreign_readers.READERS)
RNG = np.random.default_rng(0)


def blobs(height: int, width: int, names: int) -> np.ndarray:
    """Labels in blotches with holes, islands and single pixels."""
    noise = cv2.GaussianBlur(RNG.random((height, width)).astype(np.float32), (0, 0), 2)
    labels = np.digitize(noise, np.quantile(noise, np.linspace(0, 1, names + 2)[1:-1])).astype(np.uint8)
    labels[RNG.random((height, width)) < 0.03] = 1
    return labels


SIZES = {"1": (40, 60), "a/1": (33, 47), "a/2": (64, 31), "empty": (20, 21), "a__1": (9, 8)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A run over five photos in folders, one turned by EXIF and one without any name; and its labels by stem."""
    base, painter = tmp_path_factory.mktemp("run"), Painter()
    job, truth = Job(painter, parse_names(NAMES), base / "out"), {}  # type: ignore[arg-type]
    (base / "in" / "a").mkdir(parents=True)
    for stem, (height, width) in SIZES.items():
        path = base / "in" / f"{stem}.{'png' if stem == '1' else 'jpg'}"
        pixels = RNG.integers(0, 255, (height, width, 3), np.uint8)
        exif = Image.Exif()
        if stem == "a/2":
            exif[0x0112], pixels = 6, np.rot90(pixels).copy()
        Image.fromarray(pixels).save(path, exif=exif)
        labels = np.zeros((height, width), np.uint8) if stem == "empty" else blobs(height, width, len(NAMES))
        painter.labels[height, width] = truth[stem] = labels
        done = job.run(Task(str(path), stem))
        assert isinstance(done, Done), done
    return base / "out", truth


def test_exports_and_other_large_files_are_not_parsed_for_records(
    made: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(made[0], tmp_path / "run")
    for name in ("export/coco/annotations.json", "export/labelme/a/cat.json", "all.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("[" + " " * (2 << 20) + "]")
    for name in ("coco", "labelme"):
        (run / "export" / name / MARK).write_bytes(mark(name, 1))
    shutil.copy(run / "a" / "1.json", run / "export" / "labelme" / "a" / "1.json")
    shutil.copy(run / "a" / "1.labels.png", run / "export" / "labelme" / "a" / "1.labels.png")
    large = json.loads((run / "1.json").read_text())
    (run / "1.json").write_text(json.dumps({**large, "note": "x" * (2 << 20)}, indent=1))
    parsed: list[int] = []
    real = run_module.parse_record
    monkeypatch.setattr(run_module, "parse_record", lambda content: parsed.append(len(content)) or real(content))
    for place in (run, f"file://{run}"):
        parsed.clear()
        assert [photo.stem for photo in read_run(place).photos()] == ["1", "a__1", "empty", "a/1", "a/2"]
        assert sum(size > 1 << 20 for size in parsed) == 2, (
            "the large record alone, once for names and once to be given"
        )
        assert len(parsed) == 10


def test_two_results_of_one_photo_are_told(
    made: tuple[Path, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = tmp_path / "cat.png"
    shutil.copy(made[0].parent / "in" / "1.png", photo)
    painter = Painter()
    painter.labels[SIZES["1"]] = made[1]["1"]
    job = Job(painter, parse_names(NAMES), tmp_path / "out")  # type: ignore[arg-type]
    assert isinstance(job.run(Task(str(photo), "cat")), Done)
    read_run(tmp_path / "out")
    assert not caplog.messages
    assert isinstance(job.run(Task(str(photo), "photos/cat")), Done)
    assert len(list(read_run(tmp_path / "out").photos())) == 2
    [told] = caplog.messages
    assert "1 results, such as photos/cat, of photos that it has others of" in told


def written(made: tuple[Path, Any], tmp_path: Path, word: str) -> Path:
    [spec] = parse_formats([word])
    stems = list(export(read_run(made[0]), spec, tmp_path / word))
    assert stems == ["1", "a__1", "empty", "a/1", "a/2"]
    return tmp_path / word


def upright(path: Path) -> np.ndarray:
    """As a reader sees it that knows nothing of EXIF."""
    with Image.open(path) as image:
        assert image.getexif().get(0x0112, 1) == 1
        return np.asarray(image.convert("RGB"))


def test_masks_by_pillow(made, tmp_path: Path):
    folder = written(made, tmp_path, "masks")
    assert json.loads((folder / "categories.json").read_text())["3"] == "Кошка"
    for stem, labels in made[1].items():
        with Image.open(folder / "labels" / f"{stem}.png") as picture:
            assert np.array_equal(np.asarray(picture), labels)
        for category in (1, 2, 3):
            path = folder / "masks" / stem / f"{category}.png"
            assert path.exists() == (labels == category).any()
            if path.exists():
                assert np.array_equal(np.asarray(Image.open(path)), labels == category)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_coco_by_pycocotools(made, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tools = pytest.importorskip("pycocotools.coco")
    folder = written(made, tmp_path, "coco")
    coco = tools.COCO(str(folder / "annotations.json"))
    assert [entry["name"] for entry in coco.loadCats(coco.getCatIds())] == list(NAMES)
    seen = {}
    for image in coco.loadImgs(coco.getImgIds()):
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(annotation).astype(bool)
            rows, columns = np.nonzero(mask)
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation["score"] == 1
            assert not labels[mask].any()
            labels[mask] = annotation["category_id"]
        seen[image["file_name"]] = labels
        assert upright(folder / "images" / image["file_name"]).shape[:2] == labels.shape
    assert set(seen) == {"1.png", "a__1.jpg", "a__2.png", "empty.jpg", f"{flat_name('a__1')}.jpg"}
    for stem, labels in made[1].items():
        [name] = [name for name in seen if name.startswith(f"{flat_name(stem)}.")]
        assert np.array_equal(seen[name], labels), stem


def from_yolo(folder: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """By the rules of ultralytics: corners times size, cut to whole numbers, filled by OpenCV, class by class."""
    labels = np.zeros(size, np.uint8)
    for line in (folder / "labels" / "train" / f"{name}.txt").read_text().splitlines():
        number, *values = line.split()
        corners = np.array(values, np.float32).reshape(-1, 2)
        assert len(corners) >= 3
        assert ((corners >= 0) & (corners <= 1)).all()
        mask = np.zeros(size, np.uint8)
        cv2.fillPoly(mask, [(corners * size[::-1]).astype(np.int32)], 1)
        assert not labels[mask > 0].any(), "polygons overlap"
        labels[mask > 0] = int(number) + 1
    return labels


def test_yolo_by_ultralytics_rules(made, tmp_path: Path):
    folder = written(made, tmp_path, "yolo")
    for stem, labels in made[1].items():
        assert np.array_equal(from_yolo(folder, flat_name(stem), labels.shape), labels), stem


def test_yolo_is_found_from_any_folder(made, tmp_path: Path):
    """Ultralytics takes photos from beside data.yaml where it names no path, and a relative one from elsewhere."""
    lines = (written(made, tmp_path, "yolo") / "data.yaml").read_text().splitlines()
    keys = [line.partition(":")[0] for line in lines if not line.startswith(("#", " "))]
    assert keys == ["train", "val", "names"]


def test_yolo_by_supervision(made, tmp_path: Path):
    supervision = pytest.importorskip("supervision")
    folder = written(made, tmp_path, "yolo")
    dataset = supervision.DetectionDataset.from_yolo(
        str(folder / "images/train"), str(folder / "labels/train"), str(folder / "data.yaml"), force_masks=True
    )
    assert dataset.classes == list(NAMES)
    for path, image, detections in dataset:
        [labels] = [labels for stem, labels in made[1].items() if flat_name(stem) == Path(path).stem]
        assert image.shape[:2] == labels.shape
        for category in range(3):
            masks = (
                detections.mask[detections.class_id == category]
                if len(detections)
                else np.zeros((0, *labels.shape), bool)
            )
            assert np.array_equal(masks.any(0), labels == category + 1), path


def test_voc_by_supervision_and_pillow(made, tmp_path: Path):
    supervision = pytest.importorskip("supervision")
    folder = written(made, tmp_path, "voc")
    dataset = supervision.DetectionDataset.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))
    listed = (folder / "ImageSets" / "Segmentation" / "train.txt").read_text().split()
    assert sorted(listed) == sorted(map(flat_name, made[1]))
    rows = (folder / "labelmap.txt").read_text().splitlines()
    assert [row.split(":")[0] for row in rows[1:]] == ["background", *NAMES]
    for path, _, detections in dataset:
        [labels] = [labels for stem, labels in made[1].items() if flat_name(stem) == Path(path).stem]
        with Image.open(folder / "SegmentationClass" / f"{Path(path).stem}.png") as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), labels)
        for box, number in zip(detections.xyxy, detections.class_id, strict=True):
            rows, columns = np.nonzero(labels == NAMES.index(dataset.classes[number]) + 1)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.extra("readers")
def test_hugging_face_by_datasets(made, tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    folder = written(made, tmp_path, "huggingface")
    rows = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == len(made[1])
    for row in rows:
        labels = next(labels for labels in made[1].values() if labels.shape == row["image"].size[::-1])
        assert np.array_equal(np.asarray(row["mask"]), labels)
        assert row["names"] == [name for i, name in enumerate(NAMES) if (labels == i + 1).any()]


@pytest.mark.extra("readers")
def test_names_of_splits_in_file_names_lose_no_photo(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    stems = ["cat", "my dog", "test-1", "train-station", "val/x", "train/x"]
    run = read_run(job_over(tmp_path, {stem: (f"{stem}.jpg", "JPEG") for stem in stems}))
    folder = tmp_path / "dev" / "made"
    list(export(run, parse_formats(["huggingface"])[0], folder))
    splits = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert list(splits) == ["train"]
    assert len(splits["train"]) == len(stems)
    assert {"image", "mask", "names", "categories", "shares"} <= set(splits["train"].column_names)


@pytest.mark.parametrize("reader", READERS)
def test_other_tools_read_the_same_masks(made, tmp_path: Path, reader: str):
    """CVAT's, Label Studio's, LabelMe's and FiftyOne's own readers, in an environment of their own."""
    python = os.environ.get("PNPOVSS_READERS")
    if not python:
        pytest.skip("set PNPOVSS_READERS to a Python that has datumaro, label-studio-sdk, labelme and fiftyone")
    folder = written(made, tmp_path, reader.split()[0])
    call = [python, foreign_readers.__file__, reader, folder, json.dumps(NAMES), tmp_path / "seen.npz"]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"})
    assert done.returncode == 0, done.stderr[-3000:]
    seen = np.load(tmp_path / "seen.npz")
    for stem, labels in made[1].items():
        if (
            flat_name(stem) in seen or labels.any()
        ):  # Label Studio's tasks do not tell the size of a photo without masks
            assert np.array_equal(seen[flat_name(stem)], labels), stem
    assert set(seen) <= set(map(flat_name, made[1]))


def test_cvat_by_its_documented_rules(made, tmp_path: Path):
    folder = written(made, tmp_path, "cvat")
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [label.text for label in root.findall("meta/task/labels/label/name")] == list(NAMES)
    for image in root.findall("image"):
        assert upright(folder / "images" / image.attrib["name"]).shape[:2] == size_of(image)
        seen = np.zeros(size_of(image), np.uint8)
        for mask in image.findall("mask"):
            left, top = int(mask.attrib["left"]), int(mask.attrib["top"])
            height, width = size_of(mask)
            runs = [int(run) for run in mask.attrib["rle"].split(",")]
            inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
            seen[top : top + height, left : left + width][inside] = NAMES.index(mask.attrib["label"]) + 1
        [labels] = [labels for stem, labels in made[1].items() if flat_name(stem) == Path(image.attrib["name"]).stem]
        assert np.array_equal(seen, labels)


def size_of(element: ElementTree.Element) -> tuple[int, int]:
    return int(element.attrib["height"]), int(element.attrib["width"])


def test_labelme_by_its_rules(made, tmp_path: Path):
    folder = written(made, tmp_path, "labelme")
    for stem, labels in made[1].items():
        told = json.loads((folder / f"{flat_name(stem)}.json").read_text())
        assert upright(folder / told["imagePath"]).shape[:2] == (told["imageHeight"], told["imageWidth"])
        seen = np.zeros_like(labels)
        for shape in told["shapes"]:
            assert shape["shape_type"] == "mask"
            (left, top), (right, bottom) = shape["points"]
            inside = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
            seen[top : bottom + 1, left : right + 1][inside] = NAMES.index(shape["label"]) + 1
        assert np.array_equal(seen, labels)


def test_fiftyone_by_pillow(made, tmp_path: Path):
    folder = written(made, tmp_path, "fiftyone")
    for stem, labels in made[1].items():
        with Image.open(folder / "labels" / f"{flat_name(stem)}.png") as picture:
            assert picture.mode == "L"  # colours would be read as the mask
            assert np.array_equal(np.asarray(picture), labels)
    assert len(list((folder / "data").iterdir())) == len(made[1])


def read_brush(data: list[int]) -> np.ndarray:
    """The bit stream, bit by bit, as its description says."""
    bits = "".join(f"{byte:08b}" for byte in data)
    place = 0

    def take(width: int) -> int:
        nonlocal place
        place += width
        return int(bits[place - width : place], 2)

    count, width = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        repeated, length = take(1), take(widths[take(2)]) + 1
        values += [take(width)] * length if repeated else [take(width) for _ in range(length)]
    return np.array(values, np.uint8)


def test_flat_names_are_text_and_tell_stems_apart():
    stems = [
        "a/b",
        "a__b",
        "a_/b",
        "a/_b",
        "a_/_b",
        "a/__b",
        "a\x1bb",
        "a\x1cb",
        "a\udcffb",
        "a_b",
        "x" * 300 + "1",
        "x" * 300 + "2",
    ]
    flat = [flat_name(stem) for stem in stems]
    assert len(set(flat)) == len(stems)
    assert flat[0] == "a__b"
    for name in flat:
        ElementTree.fromstring(f"<a>{name}</a>")
        assert len(name) < 200


def job_over(base: Path, files: dict[str, tuple[str, str]]) -> Path:
    """The folder of a run over photos; path and format of each by stem."""
    painter = Painter()
    job = Job(painter, parse_names(NAMES), base / "out")  # type: ignore[arg-type]
    painter.labels[20, 30] = blobs(20, 30, len(NAMES))
    for stem, (name, kind) in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 255, (20, 30, 3), np.uint8)).save(base / name, kind)
        assert isinstance(job.run(Task(str(base / name), stem)), Done)
    return base / "out"


def test_without_photos_files_are_called_as_they_are(tmp_path: Path):
    photos = {"cat.jpg": "cat.jpg", "cat.png": "cat.png", "in-cat.jpg": "in/cat.jpg", "dog": "dog.jpg"}
    photos["a.jpg"] = "a.jpg.png"
    run = read_run(job_over(tmp_path, {stem: (name, "PNG") for stem, name in photos.items()}))
    list(export(run, parse_formats(["coco"])[0], tmp_path / "coco", photos=False))
    told = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    names = ["a.jpg.png", "cat.jpg", "cat.png", "dog.jpg", "in-cat.jpg"]
    assert [image["file_name"] for image in told["images"]] == names
    list(export(run, parse_formats(["cvat"])[0], tmp_path / "cvat", photos=False))
    images = ElementTree.parse(tmp_path / "cvat" / "annotations.xml").findall("image")
    assert [image.attrib["name"] for image in images] == names


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_a_file_without_a_suffix_has_its_own(tmp_path: Path):
    (tmp_path / "blob").mkdir()
    for name in ("cat", "dog"):
        Image.new("RGB", (30, 20)).save(tmp_path / "blob" / name, "PNG")
        (tmp_path / f"{name}.png").symlink_to(tmp_path / "blob" / name)
    job = Job(Segmenter(colour_backbone(), Config.preset("default")), parse_names(["red", "blue"]), tmp_path / "out")
    assert isinstance(job.run(Task(str(tmp_path / "cat.png"), "cat")), Done)
    assert isinstance(job.run(Task(str(tmp_path / "blob/dog"), "dog.png")), Done)
    again = job.run(Task(str(tmp_path / "dog.png"), "dog.png"))
    assert isinstance(again, Skipped)
    assert [again.record[key] for key in ("photo", "photo_name")] == [str(tmp_path / "blob/dog"), "dog.png"]
    list(export(read_run(tmp_path / "out"), parse_formats(["coco"])[0], tmp_path / "coco", photos=False))
    told = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert [image["file_name"] for image in told["images"]] == ["cat.png", "dog.png"]
    assert isinstance(job.run(Task(str(tmp_path / "blob/cat"), "cat")), Skipped)
    record = (tmp_path / "out/cat.json").read_text()
    assert record.startswith('{\n "photo": "')
    assert "photo_name" not in record


def test_photos_called_as_the_mark_or_a_comment_are_exported(tmp_path: Path):
    files = {stem: (f"{stem}.png", "PNG") for stem in ("pnpovss", "PnPOVSS", "#1")}
    run = read_run(job_over(tmp_path, files))
    for word in ("labelme", "voc"):
        list(export(run, parse_formats([word])[0], tmp_path / word))
        assert is_export(folder_at(tmp_path / word))
    documents = [json.loads(path.read_text()) for path in (tmp_path / "labelme").glob("*-*.json")]
    assert len({told["imagePath"] for told in documents}) == 3
    listed = (tmp_path / "voc/ImageSets/Main/train.txt").read_text().splitlines()
    assert len(listed) == 3
    assert not any(line.startswith("#") for line in listed)
    with pytest.raises(OutputError, match="is not of this program"):
        list(export(run, parse_formats(["coco"])[0], tmp_path / "out"))


def test_a_format_that_needs_photos_is_not_written_without(tmp_path: Path):
    run = read_run(job_over(tmp_path, {"cat": ("cat.png", "PNG")}))
    with pytest.raises(InvalidInputError, match="labelme is of use only with the photos in it; leave --no-photos out"):
        list(export(run, parse_formats(["labelme"])[0], tmp_path / "labelme", photos=False))
    (tmp_path / "coco").write_text("a file")
    with pytest.raises(OutputError, match="coco is a file; choose another --out"):
        list(export(run, parse_formats(["coco"])[0], tmp_path / "coco"))


def test_photos_that_were_moved_are_exported_from_where_they_are_now(tmp_path: Path):
    (tmp_path / "old").mkdir()
    Image.fromarray(np.full((20, 30, 3), (200, 0, 0), np.uint8)).save(tmp_path / "old/flag.png")
    job = Job(Segmenter(colour_backbone(), Config.preset("default")), parse_names(["red", "blue"]), tmp_path / "out")
    assert isinstance(job.run(Task(str(tmp_path / "old/flag.png"), "flag")), Done)
    (tmp_path / "old").rename(tmp_path / "new")
    [labelme] = parse_formats(["labelme"])
    with pytest.raises(InvalidInputError, match=r"old/flag.png cannot be read.*give their new place"):
        list(export(read_run(tmp_path / "out"), labelme, tmp_path / "labelme"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    again = job.run(Task(str(tmp_path / "new/flag.png"), "flag"))
    assert isinstance(again, Skipped)
    assert again.record["photo"] == str(tmp_path / "new/flag.png")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")} == before
    assert list(export(read_run(tmp_path / "out"), labelme, tmp_path / "labelme")) == ["flag"]


def test_a_photo_that_was_moved_within_its_tree_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    out = job_over(tmp_path, {"a": ("in/a.png", "PNG"), "b": ("in/b.png", "PNG")})
    (tmp_path / "in/sub").mkdir()
    moved = (tmp_path / "in/a.png").rename(tmp_path / "in/sub/a.png")
    painter = Painter()
    painter.labels[20, 30] = blobs(20, 30, len(NAMES))
    job = Job(painter, parse_names(NAMES), out)  # type: ignore[arg-type]
    assert isinstance(job.run(Task(str(moved), "sub/a")), Done)
    [labelme] = parse_formats(["labelme"])
    with pytest.raises(InvalidInputError, match=r'in/a.png cannot be read.*out/a\.\* are removed, or .*{"a": "drop"}'):
        list(export(read_run(out), labelme, tmp_path / "labelme"))
    [told] = caplog.messages
    assert "holds 1 results, such as a, of photos that are gone, and others of the same content" in told
    caplog.clear()
    (out / DECISIONS).write_text('{"a": "drop"}')
    assert list(export(read_run(out), labelme, tmp_path / "labelme")) == ["b", "sub/a"]
    assert not caplog.messages


@pytest.mark.parametrize(
    ("word", "photos"),
    [(word, photos) for word, spec in known_formats().items() for photos in (True, False) if photos or not spec.photos],
)
def test_a_file_name_that_is_no_text(tmp_path: Path, word: str, photos: bool):
    name = os.fsdecode(b"caf\xe9")
    run = read_run(job_over(tmp_path, {name: (f"{name}.png", "PNG")}))
    assert list(export(run, known_formats()[word], tmp_path / "made", photos=photos)) == [name]
    if word == "coco" and not photos:
        told = json.loads((tmp_path / "made" / "annotations.json").read_text())
        assert told["images"][0]["file_name"] == f"{name}.png"


def test_photos_are_exported_as_what_they_are(tmp_path: Path):
    files = {"a": ("a.jpg", "WEBP"), "b": ("b.png", "JPEG"), "c": ("c.jpeg", "JPEG"), "d": ("d.jpg", "PNG")}
    list(export(read_run(job_over(tmp_path, files)), parse_formats(["yolo"])[0], tmp_path / "yolo"))
    kinds = {}
    for path in (tmp_path / "yolo" / "images" / "train").iterdir():
        with Image.open(path) as image:
            kinds[path.name] = image.format
    assert kinds == {"a.png": "PNG", "b.jpg": "JPEG", "c.jpeg": "JPEG", "d.png": "PNG"}


masks = arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))


@settings(max_examples=300, deadline=None)
@given(masks)
def test_polygons_hold_exactly_the_pixels_of_any_mask(mask: np.ndarray):
    drawn = np.zeros(mask.shape, int)
    for polygon in polygons(mask):
        one = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(one, [polygon.astype(np.int32)], 1)
        drawn += one
    assert np.array_equal(drawn, mask.astype(int))


def test_a_hole_with_most_corners_in_the_first_column_is_cut():
    mask = np.ones((41, 6), bool)
    mask[1:-1, 2] = mask[1:-1:2, 1] = False
    drawn = np.zeros(mask.shape, np.uint8)
    for polygon in polygons(mask):
        cv2.fillPoly(drawn, [polygon.astype(np.int32)], 1)
    assert np.array_equal(drawn, mask)


@pytest.mark.parametrize("size", [(3, 1101), (31, 101), (101, 3)])
def test_a_piece_of_many_holes_is_cut_in_few_steps(size: tuple[int, int]):
    mask = np.ones(size, bool)
    mask[1:-1:2, 1:-1:2] = False
    drawn = np.zeros(mask.shape, np.uint8)
    for polygon in polygons(mask):
        cv2.fillPoly(drawn, [polygon.astype(np.int32)], 1)
    assert np.array_equal(drawn, mask)


@settings(max_examples=100, deadline=None)
@given(masks)
def test_a_brush_mask_reads_back(mask: np.ndarray):
    values = read_brush(brush_rle(mask)).reshape(*mask.shape, 4)
    assert np.array_equal(values == 255, np.repeat(mask[..., None], 4, axis=-1))


def test_a_long_run_of_a_brush_mask():
    mask = np.zeros((300, 300), bool)
    mask[200:] = True
    assert np.array_equal(read_brush(brush_rle(mask)).reshape(300, 300, 4)[..., 0] == 255, mask)


def test_what_was_corrected_by_hand_is_exported_as_it_is_and_has_no_score(made, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(made[0], run)
    corrected = made[1]["1"].copy()
    corrected[:10] = 2
    Image.fromarray(corrected).save(run / "1.labels.png")
    list(export(read_run(run), parse_formats(["coco"])[0], tmp_path / "coco", photos=False))
    told = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    [image] = [image for image in told["images"] if image["file_name"] == "1.png"]
    changed = [entry for entry in told["annotations"] if entry["image_id"] == image["id"]]
    assert [entry["area"] for entry in changed] == [(corrected == i).sum() for i in (1, 2, 3)]
    assert all("score" not in entry for entry in changed)
    assert sum("score" in entry for entry in told["annotations"]) > 0
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(run / "1.labels.png")
    with pytest.raises(InvalidInputError, match=r"1\.labels\.png is no label map .* with labels up to 3; .* up to 9"):
        list(export(read_run(run), parse_formats(["coco"])[0], tmp_path / "coco", photos=False))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_label_map_that_was_saved_with_few_bits_has_the_labels_that_it_stores(made, tmp_path: Path, bits: int):
    run = tmp_path / "run"
    shutil.copytree(made[0], run)
    corrected = np.minimum(made[1]["1"], 2**bits - 1)
    gray_png(run / "1.labels.png", corrected, bits)
    [photo] = [photo for photo in read_run(run).photos() if photo.stem == "1"]
    assert np.array_equal(photo.labels, corrected)


def test_decisions_are_obeyed(made, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(made[0], run)
    (run / DECISIONS).write_text(json.dumps({"a/1": "drop", "1": "keep"}))
    assert list(export(read_run(run), parse_formats(["masks"])[0], tmp_path / "masks")) == ["1", "a__1", "empty", "a/2"]
    (run / DECISIONS).write_text(json.dumps({"a/1": "maybe"}))
    with pytest.raises(InvalidInputError, match="'maybe' is neither keep nor drop"):
        read_run(run)


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.getuid() != 0, reason="takes the rights of another user")
@pytest.mark.parametrize("locked", ["a", "a/1.json", DECISIONS])
def test_what_may_not_be_read_is_not_left_out_in_silence(made, tmp_path: Path, locked: str):
    run = Path(shutil.copytree(made[0], tmp_path / "run"))
    (run / DECISIONS).write_text("{}")
    tmp_path.chmod(0o755)
    (run / locked).chmod(0)
    here = os.getcwd()
    os.chdir(tmp_path)  # folders above it are of this user alone
    os.seteuid(65534)
    try:
        with pytest.raises((InvalidInputError, OutputError), match=f"run/{locked} cannot be .* Permission denied"):
            read_run(Path("run"))
    finally:
        os.seteuid(0)
        os.chdir(here)


def test_an_export_is_whole_or_absent(made, tmp_path: Path):
    spec = parse_formats(["yolo"])[0]
    writing = export(read_run(made[0]), spec, tmp_path / "yolo")
    next(writing)
    assert not (tmp_path / "yolo").exists()
    writing.close()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo" / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="is not of this program"):
        list(export(read_run(made[0]), spec, tmp_path / "yolo"))
    assert [path.name for path in tmp_path.rglob("*")] == ["yolo", "mine.txt"]
    list(export(read_run(made[0]), spec, tmp_path / "yolo", overwrite=True))
    list(export(read_run(made[0]), spec, tmp_path / "yolo"))
    assert not (tmp_path / "yolo" / "mine.txt").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_an_export_takes_no_links_place(made, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "coco").symlink_to("elsewhere")
    with pytest.raises(OutputError, match="coco is a link; remove it"):
        list(export(read_run(made[0]), parse_formats(["coco"])[0], tmp_path / "coco", overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco", "elsewhere"]


def test_a_photo_that_is_gone_or_changed_is_refused(made, tmp_path: Path):
    shutil.copytree(made[0], tmp_path / "run")
    record = json.loads((tmp_path / "run" / "1.json").read_text())
    for photo, says in (
        (str(tmp_path / "gone.png"), "No such file"),
        (str(tmp_path / "other.png"), "was changed since"),
    ):
        (tmp_path / "other.png").write_bytes(b"other")
        (tmp_path / "run" / "1.json").write_text(json.dumps({**record, "photo": photo}))
        with pytest.raises(InvalidInputError, match=says):
            list(export(read_run(tmp_path / "run"), parse_formats(["yolo"])[0], tmp_path / "yolo"))


def test_formats_are_a_table_that_packages_can_add_to():
    assert {*"masks coco yolo voc cvat labelme labelstudio fiftyone huggingface".split()} <= set(known_formats())
    assert [spec.key for spec in parse_formats(["coco", "yolo", "coco"])] == ["coco", "yolo"]
    with pytest.raises(InvalidInputError, match=r"unknown format .dota.; known: masks, coco, yolo"):
        parse_formats(["coco", "dota"])
    with pytest.raises(InvalidInputError, match="holds no finished photos"):
        read_run(Path(__file__).parent)


def test_the_format_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
    [program] = re.findall(r"```python\n(# tally\.py\n.*?)```", page, flags=re.DOTALL)
    [point] = re.findall(r'\[project\.entry-points\."pnpovss\.formats"\]\n(.*?)```', page, flags=re.DOTALL)
    site = tmp_path / "site"
    info = site / "tally-1.dist-info"
    info.mkdir(parents=True)
    (site / "tally.py").write_text(program)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tally\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pnpovss.formats]\n{point.replace(chr(34), '')}")
    monkeypatch.syspath_prepend(site)
    own = registry._formats
    monkeypatch.setattr(registry, "_formats", plugins.Registry(own._what, own._kind, own._group, own._own))
    monkeypatch.setattr(plugins, "entry_points", lambda group: entry_points(group=group))
    run = read_run(job_over(tmp_path, {"a": ("a.png", "PNG")}))
    [spec] = parse_formats(["tally"])
    assert list(export(run, spec, tmp_path / "made")) == ["a"]
    [header, *rows] = (tmp_path / "made" / "tally.csv").read_text().splitlines()
    assert header == "photo,name,pixels"
    [photo] = run.photos()
    assert rows == [f"a,{found.name},{found.mask.sum()}" for found in photo.regions()]
