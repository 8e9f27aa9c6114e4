"""The training photos: where each lies inside its archive, and how to read it.

No photo is copied. The index keeps the byte range of every JPEG inside its tar file, in a fixed order, so that
a photo is known everywhere by one integer.
"""

import csv
import io
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pnpovss.files.writing import write_all

ARCHIVES = {
    "coco": "coco-photos-224.tar",
    "flickr8k": "flickr8k-224.tar",
    "caltech101": "caltech101-224.tar",
    "imagenet": "imagenet-samples-224.tar",
    "sharp": "sharp-448.tar",
}
SHARP = "sharp"
"""The archive whose photos are also seen from near, see :mod:`training.collect`."""
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

    def takes_part(self, share: float) -> bool:
        """Whether it is among so large a share of the small photos, by a hash of its name; sharp ones always are."""
        return self.source == SHARP or zlib.crc32(self.name.encode()) // VALIDATION % 100 < 100 * share


def _coco_id(name: str) -> int:
    return int(Path(name).stem.rsplit("_", 1)[-1])


def index_photos(data: Path, sources: Iterable[str] = tuple(ARCHIVES)) -> list[Photo]:
    """Every usable photo of some archives under `data`, ordered by archive and name.

    COCO photos whose id also occurs in the evaluation subset are left out, though one is from the 2014 and the other
    from the 2017 split: the ids are shared between the years.

    Raises:
        FileNotFoundError: an archive is missing; `python -m training.collect` makes that of the sharp photos.
    """
    with tarfile.open(data / EVALUATION_ARCHIVE) as archive:
        held_back = {_coco_id(name) for name in archive.getnames() if name.endswith(".jpg")}
    photos = []
    for source in sources:
        with tarfile.open(data / ARCHIVES[source]) as archive:
            members = sorted(
                (m for m in archive if m.isfile() and m.name.lower().endswith((".jpg", ".jpeg"))), key=lambda m: m.name
            )
        for member in members:
            if source == "coco" and _coco_id(member.name) in held_back:
                continue
            photos.append(Photo(source, member.name, member.offset_data, member.size))
    return photos


@dataclass(frozen=True)
class Listed:
    """What a table says of a photo.

    Attributes:
        labels: what it shows.
        closed: vocabulary of which every name that is not among the labels is absent; empty where absence is unknown.
    """

    labels: tuple[str, ...]
    closed: str


def read_listed(data: Path) -> dict[str, Listed]:
    """The table of the sharp photos, by path in their archive; see :mod:`training.collect`."""
    with tarfile.open(data / ARCHIVES["sharp"]) as archive:
        file = archive.extractfile("labels.csv")
        if file is None:
            raise FileNotFoundError(f"no labels.csv in {data / ARCHIVES['sharp']}")
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8"))
        return {row["file"]: Listed(tuple(row["labels"].split(";")), row["closed"]) for row in rows}


def thin_out(photos: list[Photo], listed: dict[str, Listed], share: float, alike: int) -> list[Photo]:
    """A share of the small photos, and of the sharp ones of one folder with just the same labels so many."""
    kept, seen = [], Counter()
    for photo in sorted(photos, key=lambda photo: zlib.crc32(photo.name.encode())):
        kind = (photo.name.split("/")[0], listed[photo.name].labels) if photo.source == SHARP else None
        seen[kind] += 1
        if photo.takes_part(share) and (kind is None or seen[kind] <= alike):
            kept.append(photo)
    order = {photo: place for place, photo in enumerate(photos)}
    return sorted(kept, key=order.__getitem__)


def save_index(photos: list[Photo], path: Path) -> None:
    """Write the index as JSON."""
    write_all({path: json.dumps([asdict(photo) for photo in photos]).encode()})


def load_index(path: Path) -> list[Photo]:
    """Read what `save_index` wrote."""
    return [Photo(**entry) for entry in json.loads(path.read_text())]


class PhotoReader:
    """Reads photos straight from the archives."""

    def __init__(self, data: Path, photos: list[Photo]) -> None:
        self.data, self.photos = data, photos

    def __getitem__(self, index: int) -> Image.Image:
        photo = self.photos[index]
        with (self.data / ARCHIVES[photo.source]).open("rb") as archive:
            archive.seek(photo.offset)
            return Image.open(io.BytesIO(archive.read(photo.size))).convert("RGB")

    def square(self, index: int, side: int, *, flip: bool = False) -> UInt8[np.ndarray, "side side 3"]:
        """The photo resized to `side` x `side` as at inference (bicubic, aspect ratio lost)."""
        image = self[index].resize((side, side), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        return np.ascontiguousarray(pixels[:, ::-1]) if flip else pixels
