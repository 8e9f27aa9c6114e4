"""Pack sharp photos of public repositories with their image-level labels: ``python -m training.collect --help``.

Every photo is scaled to 448 pixels on its longer side and written to ``sharp-448.tar``, with a ``labels.csv`` that
names its source, what it shows, and which vocabulary its labels are complete for. Photos that the benchmarks are
measured or settings are chosen on stay out: by name where a list names them, and by a hash of their pixels, near copies
included.
"""

import argparse
import csv
import io
import json
import logging
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from training.whole import whole

log = logging.getLogger(__name__)

SIDE = 448
QUALITY = 90
ARCHIVE, TABLE = "sharp-448.tar", "labels.csv"
NEAR = 6
"""Bits of 64 in which the hashes of near copies differ at most."""
KEPT_FOR_EVALUATION = ("voc2012-val-subset.tar", "coco-semantic-val-subset.tar", "voc2012-train-448.tar")
_POSE, _STREET = "mateusrafael4/Atividade_programacao_pose_estimation", "BernieChen96/ImageClassification"
_FURNITURE, _IKEA = "KhoiTienNguyen/furniture-classification", "IvonaTau/ikea"
COMMITS = {
    _POSE: "dab5c74036184926803e5edcf2082b71e0c85c86",
    _STREET: "69098f42fc2c4a7cc3b753065b936380406b53d6",
    _FURNITURE: "d685060724bcb31cfeaa025afb30e7d61006feb2",
    _IKEA: "6f316e3fecf8ce95069eaef5f2021405c536168a",
}
"""Of each repository the state whose photos are packed, whatever the clone has checked out."""
_IKEA_NAMES = {"bed": "bed", "chair": "chair", "clock": "clock", "couch": "sofa", "plant_pot": "plant pot"}
_CLOSED = {"voc-nonseg": "voc2012", "voc-outdoor": "voc2012", "coco128": "coco-object", "coco-tiny": "coco-object"}


@dataclass(frozen=True)
class Sharp:
    """One photo to pack.

    Attributes:
        file: path in the archive.
        repository: where it comes from, ``owner/name``; empty for a photo of the archive at hand.
        path: inside the repository or archive.
        labels: what it shows.
        closed: vocabulary of which every name that is not among the labels is absent; empty where absence is unknown.
    """

    file: str
    repository: str
    path: str
    labels: tuple[str, ...]
    closed: str = ""


def pixel_hash(image: Image.Image) -> int:
    """64 bits: whether brightness rises from each of 8 x 9 coarse cells to the next; near copies share most of them."""
    grey = cv2.resize(np.asarray(image.convert("L")), (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return int("".join("01"[bit] for bit in (grey[:, 1:] > grey[:, :-1]).ravel().astype(int)), 2)


def is_near_copy(image: Image.Image, known: UInt8[np.ndarray, "photo 64"]) -> bool:
    """Whether a photo or its mirror image is one of those hashed in ``known``, as bits."""
    both = (image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    return any(int((known != _bits(pixel_hash(each))).sum(1).min(initial=64)) <= NEAR for each in both)


def _bits(code: int) -> UInt8[np.ndarray, " 64"]:
    return np.array([int(bit) for bit in f"{code:064b}"], np.uint8)


def evaluation_hashes(data: Path) -> UInt8[np.ndarray, "photo 64"]:
    """Hashes, as bits, of every photo that is measured or chosen on."""
    codes = []
    for name in KEPT_FOR_EVALUATION:
        with tarfile.open(data / name) as archive:
            for member in archive:
                if member.name.endswith(".jpg"):
                    file = archive.extractfile(member)
                    assert file is not None
                    codes.append(_bits(pixel_hash(Image.open(file))))
    return np.stack(codes)


def listed(data: Path, clones: Path) -> Iterator[Sharp]:
    """Everything there is, with the photos that are excluded by name left out, whichever repository they came from.

    Raises:
        SystemExit: a clone is missing, or has not the commit that is wanted of it.
    """
    check_commits(clones)
    lists = json.loads((data / "exclude-from-training.json").read_text())
    excluded = {
        (repository, path) for repository, kinds in lists.items() if repository != "note"
        for paths in kinds.values() for path in paths
    }  # fmt: skip
    with (data / "photos-448-labels.csv").open() as file:
        origins = {row["file"]: (row["source_repo"], row["path"]) for row in csv.DictReader(file)}
    for photo in _everything(data, clones):
        origin = (photo.repository, photo.path) if photo.repository else origins[photo.path]
        if origin not in excluded:
            yield photo


def _everything(data: Path, clones: Path) -> Iterator[Sharp]:
    with (data / "animalpose-voc-labels.csv").open() as file:
        for row in csv.DictReader(file):
            labels = tuple(row["labels"].split(";"))
            yield Sharp(f"voc/{Path(row['path']).name}", _POSE, row["path"], labels, "voc2012")
    with (data / "photos-448-labels.csv").open() as file:
        for row in csv.DictReader(file):
            closed = _CLOSED.get(row["file"].split("/")[0], "")
            yield Sharp(row["file"], "", row["file"], tuple(row["labels"].split(";")), closed)
    for path in _files(clones, _STREET, "JPEGImages/"):
        boxes = _read(clones, _STREET, f"HandledText/initTxt/{Path(path).stem}.txt").decode("latin1").splitlines()
        labels = tuple(sorted({line.split()[0] for line in boxes if line.strip() and line[0].isalpha()}))
        if labels:
            yield Sharp(f"street/{Path(path).name}", _STREET, path, labels)
    for number, path in enumerate(_files(clones, _FURNITURE, "data/")):
        yield Sharp(f"furniture/{number}.jpg", _FURNITURE, path, (path.split("/")[1].lower(),))
    for number, path in enumerate(_files(clones, _IKEA, "images/")):
        kind = path.split("/")[1]
        if kind in _IKEA_NAMES:
            yield Sharp(f"ikea/{number}.jpg", _IKEA, path, (_IKEA_NAMES[kind],))


def check_commits(clones: Path) -> None:
    """End with a message where a clone or its commit is missing.

    Raises:
        SystemExit: so it is; the message says which.
    """
    for repository, commit in COMMITS.items():
        folder = clones / repository.replace("/", "+")
        try:
            _git(clones, repository, "cat-file", "-e", f"{commit}^{{commit}}")
        except subprocess.CalledProcessError as error:
            what = f"has no commit {commit}" if folder.is_dir() else "is missing"
            raise SystemExit(
                f"{folder} {what}: clone https://github.com/{repository} with its whole history"
            ) from error


def _git(clones: Path, repository: str, *arguments: str) -> bytes:
    folder = clones / repository.replace("/", "+")
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True).stdout


def _files(clones: Path, repository: str, under: str) -> list[str]:
    names = (
        _git(clones, repository, "ls-tree", "-r", "-z", "--name-only", COMMITS[repository], under).decode().split("\0")
    )
    return [name for name in names if name.lower().endswith((".jpg", ".jpeg"))]


def _read(clones: Path, repository: str, path: str) -> bytes:
    return _git(clones, repository, "cat-file", "blob", f"{COMMITS[repository]}:{path}")


def shrink(image: Image.Image) -> Image.Image:
    """At most `SIDE` pixels on the longer side."""
    scale = min(1.0, SIDE / max(image.size))
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def pack(photos: Iterable[Sharp], data: Path, clones: Path, out: Path) -> None:
    """Write the archive."""
    known = evaluation_hashes(data)
    table, copies = io.StringIO(), 0
    writer = csv.writer(table)
    writer.writerow(["file", "labels", "closed", "repository", "path"])
    with (
        tarfile.open(data / "photos-448.tar") as here,
        whole(out / ARCHIVE) as part,
        tarfile.open(part, "w") as archive,
    ):
        for photo in photos:
            if photo.repository:
                stored = _read(clones, photo.repository, photo.path)
            else:
                file = here.extractfile(photo.path)
                assert file is not None
                stored = file.read()
            image = shrink(Image.open(io.BytesIO(stored)).convert("RGB"))
            if is_near_copy(image, known):
                copies += 1
                log.info("left out, a near copy of an evaluation photo: %s", photo.file)
                continue
            packed = io.BytesIO()
            image.save(packed, "JPEG", quality=QUALITY)
            _add(archive, photo.file, packed.getvalue())
            writer.writerow([photo.file, ";".join(photo.labels), photo.closed, photo.repository, photo.path])
        _add(archive, TABLE, table.getvalue().encode())
    log.info("%s: near copies left out: %d", out / ARCHIVE, copies)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def main() -> None:
    """Parse the command line and pack."""
    parser = argparse.ArgumentParser(prog="python -m training.collect", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the archives and label tables at hand")
    parser.add_argument(
        "--clones",
        type=Path,
        required=True,
        help="git clones, each in a folder OWNER+NAME, with the commits that `COMMITS` names",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for sharp-448.tar")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pack(listed(options.data, options.clones), options.data, options.clones, options.out)


if __name__ == "__main__":
    main()
