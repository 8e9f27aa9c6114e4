"""A run to be exported: its finished photos, one at a time, with one category per name over all of them."""

import io
import json
import logging
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image

from pnpovss.batch.export.mark import MARK, is_export
from pnpovss.batch.folder import Folder, folder_at
from pnpovss.batch.photo_files import FAILURE, RECORD, beside, checksum, parse_failure, parse_record
from pnpovss.errors import InvalidInputError, PnpOvssError
from pnpovss.files.remote import is_url
from pnpovss.images import as_stored
from pnpovss.results.rle import decode

__all__ = ["DECISIONS", "Found", "Run", "RunPhoto", "decided_against", "names_beside", "read_run"]

logger = logging.getLogger("pnpovss")

DECISIONS = "decisions.json"  # {"a/cat": "drop"}, by stem; what it does not name is kept

_LARGE = 1 << 20  # bytes
_BEGINNING = re.compile(rb'\s*\{\s*"(photo|format)"')  # of every record


@dataclass(frozen=True, eq=False)
class Found:
    """One name's region in one photo, or one thing of it.

    Attributes:
        category: of the run, from 1.
        name: as it was asked for.
        mask: Bool "h w", with at least one pixel.
        score: mean probability over the region as it was made, in [0, 1]; None where it was drawn by hand since.
    """

    category: int
    name: str
    mask: Bool[np.ndarray, "h w"]
    score: float | None


@dataclass(frozen=True, eq=False)
class RunPhoto:
    """A finished photo.

    Attributes:
        stem: where its files are, below the run's folder, with "/" between folders and without a suffix.
        record: what its record says.
        folder: of the run.
        categories: of the run, by name.
    """

    stem: str
    record: dict[str, Any]
    folder: Folder
    categories: Mapping[str, int]

    @property
    def photo(self) -> str:
        """The photo's own file, or its URL."""
        return self.record["photo"]

    @property
    def name(self) -> str:
        """Of the photo's own file, or of the link that it was asked by."""
        return self.record.get("photo_name") or os.path.basename(self.photo)

    @property
    def suffix(self) -> str:
        """Of that name, such as ".jpg"."""
        return posixpath.splitext(self.name)[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright photo [px]."""
        return self.record["height"], self.record["width"]

    @cached_property
    def labels(self) -> Integer[np.ndarray, "h w"]:
        """The label map as it is now, corrections by hand included: 0 is the background, else the run's category.

        Raises:
            InvalidInputError: it is missing, no label map, or of another size.
        """
        names, path = self.record["names"], f"{self.folder}/{self._labels_path}"
        try:
            with Image.open(io.BytesIO(self._labels_content)) as picture:
                own = np.asarray(as_stored(picture))
        except (OSError, ValueError, SyntaxError) as error:
            raise InvalidInputError(f"{path} cannot be read: {error}; segment the photo again with --redo") from error
        if own.shape != self.size or own.dtype.kind not in "ui" or own.max(initial=0) > len(names):
            raise InvalidInputError(
                f"{path} is no label map of {self.size[1]} x {self.size[0]} pixels with labels up to {len(names)}; "
                f"it is {own.dtype} of shape {own.shape} with values up to {own.max(initial=0)}"
            )
        return np.array([0, *(self.categories[name["name"]] for name in names)], np.uint16)[own]

    def regions(self) -> Iterator[Found]:
        """The region of each name that has pixels, in the order asked."""
        labels, as_made = self.labels, self._as_made
        for name in self.record["names"]:
            category = self.categories[name["name"]]
            mask = labels == category
            if mask.any():
                yield Found(category, name["name"], mask, name["score"] if as_made else None)

    def objects(self) -> Iterator[Found]:
        """Each thing where the run tells them apart, else `regions`.

        Where the label map was corrected by hand, a thing keeps what still has its name, and the rest of a region,
        which belongs to none, is one more.
        """
        if self.record.get("instances") is None:
            yield from self.regions()
            return
        labels, as_made = self.labels, self._as_made
        left = labels.copy()
        for thing in self.record["instances"]:
            category = self.categories[thing["category"]]
            mask = decode(thing["segmentation"]) & (labels == category)
            left[mask] = 0
            if mask.any():
                yield Found(category, thing["category"], mask, thing["score"] if as_made else None)
        for name in self.record["names"] if not as_made else ():
            mask = left == self.categories[name["name"]]
            if mask.any():
                yield Found(self.categories[name["name"]], name["name"], mask, None)

    @property
    def _as_made(self) -> bool:
        """Whether the label map is as the run wrote it."""
        return checksum(self._labels_content) == self._labels_file["sha256"]

    @property
    def _labels_file(self) -> dict[str, str]:
        return next(file for file in self.record["files"] if file["kind"] == "labels")

    @property
    def _labels_path(self) -> str:
        return beside(self.stem, self._labels_file["file"])

    @cached_property
    def _labels_content(self) -> bytes:
        content = self.folder.read(self._labels_path)
        if content is None:
            raise InvalidInputError(f"{self.folder}/{self._labels_path} cannot be read; segment the photo again")
        return content


@dataclass(frozen=True)
class Run:
    """The output folder of `pnpovss segment`.

    Attributes:
        folder: of the run.
        categories: every name that was asked for in any photo, in order, from 1.
        dropped: stems of photos that are not to be exported.
        dropped_too: whether `photos` gives those as well.
    """

    folder: Folder
    categories: dict[str, int]
    dropped: frozenset[str] = field(default_factory=frozenset)
    dropped_too: bool = False

    def photos(self) -> Iterator[RunPhoto]:
        """Each finished photo that is kept, in the order of their paths; none stays in memory."""
        for stem, record in _records(self.folder):
            if self.dropped_too or stem not in self.dropped:
                yield RunPhoto(stem, record, self.folder, self.categories)

    def failures(self) -> Iterator[tuple[str, str]]:
        """(stem, why) of each photo that could not be segmented, by path, as far as that was written down."""
        for stem in _stems(self.folder, FAILURE):
            if note := parse_failure(self.folder.read(f"{stem}{FAILURE}")):
                yield stem, note["error"]


def read_run(place: Path | str, *, dropped_too: bool = False) -> Run:
    """A run, and which of its photos were decided against.

    Args:
        place: the folder of the run, or its URL.
        dropped_too: whether `photos` gives those as well.

    Raises:
        InvalidInputError: no finished photo is there, a folder cannot be listed, or the file of decisions is none.
        OutputError: a record, or the file of decisions, cannot be read.
    """
    folder = folder_at(place)
    categories: dict[str, int] = {}
    seen, contents, repeated = set[int](), set[int](), set[int]()  # hashes, for folders of millions
    again, first = 0, ""
    for stem, record in _records(folder):
        for name in record["names"]:
            categories.setdefault(name["name"], len(categories) + 1)
        if (photo := hash(record["photo"])) in seen:
            again, first = again + 1, first or stem
        seen.add(photo)
        if (content := hash(record.get("photo_sha256"))) in contents:
            repeated.add(content)
        contents.add(content)
    if again:
        logger.warning(
            f"{folder} holds {again:,} results, such as {first}, of photos that it has others of, and all are "
            f"read; that comes of runs that found the same photos by other folders: remove those not wanted"
        )
    if not categories:
        lacks = "holds no finished photos" if is_url(place) or Path(place).is_dir() else "is no folder"
        raise InvalidInputError(f"{folder} {lacks}; give the --out folder of `pnpovss segment`")
    run = Run(folder, categories, decided_against(folder), dropped_too)
    if stale := _of_photos_gone(run, repeated):
        logger.warning(
            f"{folder} holds {len(stale):,} results, such as {stale[0]}, of photos that are gone, and others of the "
            f"same content, and all are read; that comes of photos that were moved: remove their files "
            f'({stale[0]}.*), or drop them in {DECISIONS} ({{"{stale[0]}": "drop"}})'
        )
    return run


def _of_photos_gone(run: Run, repeated: set[int]) -> list[str]:
    """Stems of photos that are gone while another one of the same content, with a result of its own, is there.

    Args:
        run: those that it drops are no matter.
        repeated: hashes of the contents that several results are of.
    """
    gone: dict[int, list[str]] = {}
    there = set[int]()
    for photo in run.photos() if repeated else ():
        if (content := hash(photo.record.get("photo_sha256"))) in repeated and photo.stem not in run.dropped:
            if _is_there(photo.photo):
                there.add(content)
            else:
                gone.setdefault(content, []).append(photo.stem)
    return [stem for content, stems in gone.items() if content in there for stem in stems]


def _is_there(photo: str) -> bool:
    """Whether a photo is where its record says; yes, where that cannot be found out."""
    folder, name = os.path.split(photo)
    try:
        return folder_at(folder).exists(name)
    except (OSError, PnpOvssError):
        return True


def decided_against(folder: Folder) -> frozenset[str]:
    """Stems of the photos that a run's file of decisions drops; none without such a file.

    Raises:
        InvalidInputError: the file is none of decisions.
        OutputError: it cannot be read.
    """
    content = folder.read(DECISIONS)
    if content is None:
        return frozenset()
    try:
        told = json.loads(content)
        if wrong := set(told.values()) - {"keep", "drop"}:
            raise ValueError(f"{sorted(map(str, wrong))[0]!r} is neither keep nor drop")
    except (ValueError, AttributeError, TypeError) as error:
        place = f"{folder}/{DECISIONS}"
        raise InvalidInputError(f'{place} cannot be read: {error}; expected {{"a/cat": "drop", ...}}') from error
    return frozenset(stem for stem, decision in told.items() if decision == "drop")


def names_beside(place: Path | str, stems: Iterable[str]) -> list[str]:
    """Every name in the results of a run's folder, each once, but for those at some stems.

    Args:
        place: the folder of the run, or its URL; it need not be there.
        stems: of results that will be made anew.

    Raises:
        InvalidInputError: a folder cannot be listed.
        OutputError: a record cannot be read.
    """
    anew = {hash(stem) for stem in stems}  # for folders of millions
    others = (record for stem, record in _records(folder_at(place)) if hash(stem) not in anew)
    return list(dict.fromkeys(name["name"] for record in others for name in record["names"]))


def _records(folder: Folder) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stem, record) of each complete set below a folder, by path."""
    for stem in _stems(folder, RECORD):
        record = _record(folder, f"{stem}{RECORD}")
        if record and all(folder.exists(beside(stem, part["file"])) for part in record["files"]):
            yield stem, record


def _record(folder: Folder, name: str) -> dict[str, Any] | None:
    """The record in a file; a large file is parsed only where it begins like one, for `--json` writes gigabytes."""
    content = folder.read(name, _LARGE)
    if content is not None and len(content) == _LARGE:
        if not _BEGINNING.match(content):
            return None
        content = folder.read(name)
    return parse_record(content)


def _stems(folder: Folder, suffix: str) -> Iterator[str]:
    """What stands before a suffix in the path of each file below a folder that ends so, by path; none hidden.

    Nor those in exports: these may hold as many files of that suffix, or some of gigabytes.
    """
    exports: tuple[str, ...] = ()
    for here, names in folder.walk():
        inside = here.removeprefix(str(folder)).replace(os.sep, "/").strip("/")
        if inside and MARK in names and is_export(folder_at(here)):
            exports = (*exports, f"{inside}/")
        if f"{inside}/".startswith(exports):
            continue
        for name in names:
            if name.endswith(suffix) and not name.startswith("."):
                yield posixpath.join(inside, name.removesuffix(suffix))
