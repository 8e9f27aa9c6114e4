"""Which sharp photos are packed: labels, names that are kept out, and near copies of evaluation photos."""

import csv
import io
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.archives import write_tar
from training.collect import ARCHIVE, COMMITS, SIDE, evaluation_hashes, is_near_copy, listed, pack, pixel_hash, shrink

REPOSITORIES = {
    "mateusrafael4/Atividade_programacao_pose_estimation": {
        "images/2008_000001.jpg": 1,
        "images/2008_000002.jpg": 2,
        "images/2008_000003.jpg": 9,
    },
    "BernieChen96/ImageClassification": {
        "JPEGImages/000001.jpg": 3,
        "JPEGImages/000002.jpg": 4,
        "HandledText/initTxt/000001.txt": "train 41 77 430 255\ncar 1 2 3 4\n9",
        "HandledText/initTxt/000002.txt": "car 1 2 3 4\n",
    },
    "KhoiTienNguyen/furniture-classification": {"data/Sofa/blue.jpg": 5},
    "IvonaTau/ikea": {"images/couch/001.jpg": 6, "images/objects/002.jpg": 7},
}


def picture(seed: int, size: tuple[int, int] = (90, 60)) -> Image.Image:
    """Coarse random blobs: what a hash of brightness tells apart."""
    cells = np.random.default_rng(seed).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 95) -> bytes:
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return stored.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    copy = picture(2, (45, 30)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # smaller, and mirrored
    write_tar(folder / "voc2012-val-subset.tar", {"a.jpg": jpeg(copy, 60)})
    write_tar(folder / "coco-semantic-val-subset.tar", {"b.jpg": jpeg(picture(11))})
    write_tar(folder / "voc2012-train-448.tar", {"c.jpg": jpeg(picture(12))})
    write_tar(folder / "photos-448.tar", {"coco128/d.jpg": jpeg(picture(8))})
    (folder / "exclude-from-training.json").write_text(
        json.dumps(
            {
                "note": "photos to leave out",
                "dusty-nv/jetson-inference": {"eval": ["e.jpg"]},
                "BernieChen96/ImageClassification": {"eval": ["JPEGImages/000002.jpg"], "dev": []},
                "mateusrafael4/Atividade_programacao_pose_estimation": {"dev": ["images/2008_000003.jpg"]},
            }
        )
    )
    (folder / "animalpose-voc-labels.csv").write_text(
        "path,labels\nimages/2008_000001.jpg,dog;person\nimages/2008_000002.jpg,cat\nimages/2008_000003.jpg,cow\n"
    )
    (folder / "photos-448-labels.csv").write_text(
        "file,labels,source_repo,path\n"
        "coco128/d.jpg,bottle,a/b,d.jpg\n"
        "jetson/e.jpg,dog,dusty-nv/jetson-inference,e.jpg\n"
    )
    return folder


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Repositories whose wanted commits are followed by another."""
    for name, files in REPOSITORIES.items():
        folder = tmp_path / "clones" / name.replace("/", "+")
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            stored = content.encode() if isinstance(content, str) else jpeg(picture(content))
            (folder / path).write_bytes(stored)
        git = ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "photos"], check=True)
        told = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        monkeypatch.setitem(COMMITS, name, told.stdout.strip())
        later = ("data/Bed/later.jpg", "JPEGImages/000003.jpg", "images/couch/later.jpg")
        for path in later:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(jpeg(picture(10)))
        subprocess.run([*git, "rm", "-q", "--cached", *files], check=True)
        subprocess.run([*git, "add", *later], check=True)
        subprocess.run([*git, "commit", "-qm", "other photos"], check=True)
    return tmp_path / "clones"


def test_photos_that_a_list_keeps_out_are_not_listed(data: Path, clones: Path):
    photos = {photo.file: photo for photo in listed(data, clones)}
    assert photos["street/000001.jpg"].labels == ("car", "train")
    assert "street/000002.jpg" not in photos
    assert "voc/2008_000003.jpg" not in photos
    assert "jetson/e.jpg" not in photos  # of the archive at hand, whose table says where it came from
    assert (photos["voc/2008_000001.jpg"].labels, photos["voc/2008_000001.jpg"].closed) == (
        ("dog", "person"),
        "voc2012",
    )
    assert photos["coco128/d.jpg"].closed == "coco-object"
    assert [photo.labels for file, photo in photos.items() if file.startswith(("furniture", "ikea"))] == [
        ("sofa",),
        ("sofa",),
    ]


def test_clones_are_read_at_the_commits_that_are_named_and_one_without_it_is_told(
    data: Path, clones: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = {photo.path for photo in listed(data, clones)}
    assert {"data/Sofa/blue.jpg", "images/couch/001.jpg", "JPEGImages/000001.jpg"} <= paths
    assert not any("later" in path or "000003" in path for path in paths)
    monkeypatch.setitem(COMMITS, "IvonaTau/ikea", "6f316e3" + 33 * "0")
    with pytest.raises(SystemExit, match=r"IvonaTau\+ikea has no commit 6f316e30+: clone https://github.com/IvonaTau"):
        list(listed(data, clones))
    with pytest.raises(SystemExit, match="pose_estimation is missing: clone"):
        list(listed(data, clones / "nowhere"))


def test_near_copies_of_evaluation_photos_are_found_mirrored_and_smaller(data: Path):
    known = evaluation_hashes(data)
    assert len(known) == 3
    assert is_near_copy(picture(2), known)
    assert not is_near_copy(picture(1), known)


def test_the_hash_is_of_brightness_not_of_size():
    assert pixel_hash(picture(1)) == pixel_hash(picture(1, (180, 120)))
    assert pixel_hash(Image.new("RGB", (9, 8))) == 0


def test_the_archive_holds_what_its_table_says(data: Path, clones: Path, tmp_path: Path):
    pack(listed(data, clones), data, clones, tmp_path)
    assert not list(tmp_path.glob("*.part"))
    with tarfile.open(tmp_path / ARCHIVE) as archive:
        names = archive.getnames()
        table = archive.extractfile("labels.csv")
        assert table is not None
        rows = list(csv.DictReader(io.TextIOWrapper(table, "utf-8")))
    assert names == [*(row["file"] for row in rows), "labels.csv"]
    assert "voc/2008_000002.jpg" not in names  # a near copy
    assert "voc/2008_000001.jpg" in names


def test_photos_are_shrunk_never_enlarged():
    assert shrink(Image.new("RGB", (900, 600))).size == (SIDE, 299)
    assert shrink(Image.new("RGB", (90, 60))).size == (90, 60)
