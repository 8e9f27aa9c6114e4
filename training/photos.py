"""The training photos: where each lies inside its archive, and how to read it.

No photo is copied. The index keeps the byte range of every JPEG inside its tar file, in a fixed order, so that
a photo is known everywhere by one integer.
"""

import io
import json
import tarfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

ARCHIVES = {
    "coco": "coco-photos-224.tar",
    "flickr8k": "flickr8k-224.tar",
    "caltech101": "caltech101-224.tar",
    "imagenet": "imagenet-samples-224.tar",
}
EVALUATION_ARCHIVE = "coco-semantic-val-subset.tar"
VALIDATION = 20
"""One photo in so many is never trained on."""


@dataclass(frozen=True)
class Photo:
    """One training photo.

    Attributes:
        source: key of :data:`ARCHIVES`.
        name: path inside the archive.
        offset: first byte of the JPEG in the archive.
        size: its length in bytes.
    """

    source: str
    name: str
    offset: int
    size: int

    @property
    def held_back(self) -> bool:
        """Whether it is never trained on: one photo in so many, by a hash of its name."""
        return zlib.crc32(self.name.encode()) % VALIDATION == 0


def _coco_id(name: str) -> int:
    return int(Path(name).stem.rsplit("_", 1)[-1])


def index_photos(data: Path) -> list[Photo]:
    """Every usable photo under `data`, ordered by archive and name.

    COCO photos whose id also occurs in the evaluation subset are left out, though one is from the 2014 and the other
    from the 2017 split: the ids are shared between the years.
    """
    with tarfile.open(data / EVALUATION_ARCHIVE) as archive:
        held_back = {_coco_id(name) for name in archive.getnames() if name.endswith(".jpg")}
    photos = []
    for source, file in ARCHIVES.items():
        with tarfile.open(data / file) as archive:
            members = sorted(
                (m for m in archive if m.isfile() and m.name.lower().endswith((".jpg", ".jpeg"))), key=lambda m: m.name
            )
        for member in members:
            if source == "coco" and _coco_id(member.name) in held_back:
                continue
            photos.append(Photo(source, member.name, member.offset_data, member.size))
    return photos


def save_index(photos: list[Photo], path: Path) -> None:
    """Write the index as JSON."""
    path.write_text(json.dumps([asdict(photo) for photo in photos]))


def load_index(path: Path) -> list[Photo]:
    """Read what `save_index` wrote."""
    return [Photo(**entry) for entry in json.loads(path.read_text())]


class PhotoReader:
    """Reads photos straight from the archives; keeps one handle an archive."""

    def __init__(self, data: Path, photos: list[Photo]) -> None:
        self.photos = photos
        self._handles: dict[str, BinaryIO] = {source: open(data / file, "rb") for source, file in ARCHIVES.items()}

    def __getitem__(self, index: int) -> Image.Image:
        photo = self.photos[index]
        handle = self._handles[photo.source]
        handle.seek(photo.offset)
        return Image.open(io.BytesIO(handle.read(photo.size))).convert("RGB")

    def square(self, index: int, side: int, *, flip: bool = False) -> UInt8[np.ndarray, "side side 3"]:
        """The photo resized to `side` x `side` as at inference (bicubic, aspect ratio lost)."""
        image = self[index].resize((side, side), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        return np.ascontiguousarray(pixels[:, ::-1]) if flip else pixels
