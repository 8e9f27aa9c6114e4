"""What a benchmark is to the rest of the program: classes with their mask values, and photos with their masks.

Everything that differs between benchmarks is a field of `LabelSpace`; no other module knows one by name.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Integer

from pnpovss.config import Background
from pnpovss.datasets.masks import Exif, read_mask
from pnpovss.errors import DatasetError
from pnpovss.names import Name
from pnpovss.results.labels import BACKGROUND

__all__ = [
    "BACKGROUND_CLASS",
    "IGNORE",
    "NOTHING",
    "Counting",
    "Dataset",
    "Exif",
    "LabelSpace",
    "Sample",
    "Thing",
    "value_list",
]

Counting = Literal["field", "authors"]

IGNORE = -1  # in a truth: the pixel is left out of the score
NOTHING = -1  # in a prediction: none of the classes, which is a miss wherever the truth has a class
BACKGROUND_CLASS = "background"

SPECK = 0.0005  # of the photo

LONGEST_KEY = 200  # bytes; file systems mostly take 255, and suffixes come on top
_UNKNOWN = -2  # in the lookup table: a mask value that the space does not have


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a benchmark and what its mask values mean.

    Attributes:
        key: the benchmark's name on the command line ("voc2012").
        names: the classes to ask for, in order; synonyms in each `Name`.
        ids: the mask value of each of `names`.
        background_id: the mask value of the background class; None if no pixel is labelled background.
        ignored: mask values that are left out of the score.
        background: the policy for the segmenter: when a pixel may be none of the names.
        protocol: "field", as most papers count, or "authors", as the released code of PnP-OVSS counts.
        background_name: what the first row of the confusion matrix is called where the background counts.
        merged: (mask value, the mask value that it counts as), for values beside `ids` and `background_id`.
    """

    key: str
    names: tuple[Name, ...]
    ids: tuple[int, ...]
    background_id: int | None
    ignored: frozenset[int]
    background: Background
    protocol: Counting = "field"
    background_name: str = BACKGROUND_CLASS
    merged: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise DatasetError(f"{self.key} has no class beside the background; name at least one")
        if len(self.names) != len(self.ids):
            raise DatasetError(f"{self.key}: {len(self.names)} names, but {len(self.ids)} mask values")
        own = [*self.ids, *(() if self.background_id is None else (self.background_id,))]
        given = [*own, *self.ignored, *(value for value, _ in self.merged)]
        twice = sorted({value for value in given if given.count(value) > 1})
        if twice:
            raise DatasetError(f"{self.key}: mask value {twice[0]} has two meanings; give each value one class")
        outside = [value for value in given if not 0 <= value <= 65535]
        if outside:
            raise DatasetError(f"{self.key}: mask value {outside[0]} cannot be stored; values are 0 to 65535")
        astray = [target for _, target in self.merged if target not in own]
        if astray:
            raise DatasetError(f"{self.key}: values are merged into {astray[0]}, which is the value of no class")

    def row(self, value: int) -> int | None:
        """The row of `classes` that a mask value counts as, IGNORE where it is left out, None without a meaning."""
        row = int(self._rows[min(value, len(self._rows) - 1)])
        return None if row == _UNKNOWN else row

    @property
    def values(self) -> tuple[int, ...]:
        """All mask values that have a meaning, ascending."""
        return tuple(np.flatnonzero(self._rows != _UNKNOWN).tolist())

    @property
    def counts_background(self) -> bool:
        """Whether the background is a class of the score; it is then the first."""
        return self.background_id is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """Rows of the confusion matrix: the background first where it counts, then the names."""
        first = (self.background_name,) if self.counts_background else ()
        return (*first, *(name.text for name in self.names))

    @property
    def first(self) -> int:
        """The row of names[0]; names[i] is row `first` + i."""
        return int(self.counts_background)

    @cached_property
    def _rows(self) -> Integer[np.ndarray, " value"]:
        """The row of each mask value, IGNORE, or _UNKNOWN; the last entry stands for all greater values."""
        rows = {value: self.first + i for i, value in enumerate(self.ids)}
        if self.background_id is not None:
            rows[self.background_id] = 0
        rows |= {value: rows[target] for value, target in self.merged}
        rows |= dict.fromkeys(self.ignored, IGNORE)
        table = np.full(max(rows) + 2, _UNKNOWN, dtype=np.int32)
        table[list(rows)] = list(rows.values())
        return table

    def truth(self, mask_values: Integer[np.ndarray, "h w"]) -> Integer[np.ndarray, "h w"]:
        """Int32 rows of `classes`, IGNORE where a pixel is left out of the score.

        Args:
            mask_values: as stored in the mask, unsigned or at least not negative.

        Raises:
            DatasetError: a value that the label space does not have.
        """
        table = self._rows
        rows = table[np.minimum(mask_values.astype(np.int32), len(table) - 1)]
        if rows.min(initial=0) == _UNKNOWN:
            values, counts = np.unique(mask_values[rows == _UNKNOWN], return_counts=True)
            shown = ", ".join(f"{v} ({n} px)" for v, n in zip(values[:5], counts[:5], strict=True))
            raise DatasetError(
                f"mask values {shown} are no class of {self.key} ({self.protocol} protocol); "
                f"it has {value_list(self.values)}"
            )
        return rows

    def predicted(self, labels: Integer[np.ndarray, "h w"], asked: Sequence[int]) -> Integer[np.ndarray, "h w"]:
        """Int32 rows of `classes` from the labels of a `Segmentation`.

        Through a lookup table: ids changed in place can collide with ids not changed yet.

        Args:
            labels: 0 is the background, i + 1 the i-th name that the segmenter was asked for.
            asked: those names, as indices into `names`.

        Returns:
            NOTHING where the segmenter says background and the background is no class of the score.
        """
        wrong = [index for index in asked if not 0 <= index < len(self.names)]
        if wrong:
            raise DatasetError(f"{self.key} has names 0 to {len(self.names) - 1}, was asked for {wrong[0]}")
        if labels.max(initial=0) > len(asked):
            raise DatasetError(f"label {labels.max()} is none of the {len(asked)} names that were asked for")
        table = np.empty(len(asked) + 1, dtype=np.int32)
        table[BACKGROUND] = 0 if self.counts_background else NOTHING
        table[1:] = [self.first + index for index in asked]
        return table[labels]

    def present(self, truth: Integer[np.ndarray, "h w"]) -> tuple[int, ...]:
        """Indices into `names` of the classes that a truth contains, ascending; the background is no name."""
        return tuple(int(row) - self.first for row in np.unique(truth) if row >= self.first)


@dataclass(frozen=True)
class Sample:
    """A photo and its mask.

    Attributes:
        key: unique in its data set, stable, safe as a file name.
        image: the photo.
        mask: an image of one channel whose pixel values are those of the label space.
    """

    key: str
    image: Path
    mask: Path

    def __post_init__(self) -> None:
        if reason := _unusable(self.key):
            raise DatasetError(
                f"{self.key[:80]!r} cannot name a photo: {reason}; results are written under the names of the photos, "
                "so each must be a plain file name without its suffix"
            )


def _unusable(key: str) -> str | None:
    """Why a key cannot be a file name inside a folder; None where it can."""
    if not key.strip(".") or key != key.strip():
        return "it is empty, or made of dots, or has blanks around it"
    if any(separator in key for separator in "/\\:") or not key.isprintable():
        return "it holds a separator of folders, or what cannot be printed"
    if len(os.fsencode(key)) > LONGEST_KEY:
        return f"it is longer than {LONGEST_KEY} bytes"
    return None


@dataclass(frozen=True, eq=False)
class Thing:
    """One thing in a photo, as the truth has it.

    Attributes:
        row: its class, of `LabelSpace.classes`.
        mask: Bool "h w", with at least one pixel.
        crowd: whether it stands for several that nobody told apart; it is then no thing to be found.
    """

    row: int
    mask: Bool[np.ndarray, "h w"]
    crowd: bool = False


class Dataset:
    """Photos with masks in one label space, in a fixed order.

    Attributes:
        space: what the masks mean.
        root: the folder as given.
        samples: all of them.
        full: photos in the benchmark's whole split; None for a data set that is no benchmark.
        exif: how the masks of photos that are turned by EXIF lie: "upright" as the photo is shown, or "stored" as its
            pixels are in the file; None where the sizes must tell, see `masks.read_mask`.
    """

    def __init__(
        self,
        space: LabelSpace,
        root: Path,
        samples: Iterable[Sample],
        full: int | None = None,
        exif: Exif | None = None,
    ) -> None:
        self.space = space
        self.root = root
        self.samples = tuple(samples)
        self.full = full
        self.exif: Exif | None = exif

    @property
    def is_subset(self) -> bool:
        """Whether there are fewer photos than the benchmark's split has; numbers must then say so."""
        return self.full is not None and len(self.samples) < self.full

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def values(self, sample: Sample) -> Integer[np.ndarray, "h w"]:
        """The mask values over the upright photo.

        Raises:
            DatasetError: the mask is missing, damaged, or of another size or mode.
        """
        return read_mask(sample.mask, sample.image, self.exif)

    def told(self, sample: Sample) -> bytes:
        """All that the truth of a sample is read from: where it is the same, the truth is the same.

        Raises:
            DatasetError: it is missing or cannot be read.
        """
        try:
            return sample.mask.read_bytes()
        except OSError as error:
            raise DatasetError(
                f"mask {sample.mask} cannot be read ({error.strerror}); {sample.image.name} has no truth without it"
            ) from error

    def things(self, sample: Sample) -> list[Thing]:
        """Each thing of the truth by itself: here the connected pieces of each class, which stand in for things.

        Pieces smaller than `SPECK` of the photo are left out.

        Raises:
            DatasetError: see `truth`.
        """
        truth = self.truth(sample)
        return [
            Thing(self.space.first + index, piece)
            for index in self.space.present(truth)
            for piece in _pieces(truth == self.space.first + index)
        ]

    def truth(self, sample: Sample) -> Integer[np.ndarray, "h w"]:
        """Int32 rows of `space.classes` over the upright photo, IGNORE where a pixel is left out of the score.

        Raises:
            DatasetError: the mask is missing, damaged, of another size or mode, or has values of no class; by name.
        """
        values = self.values(sample)
        try:
            return self.space.truth(values)
        except DatasetError as error:
            raise DatasetError(f"{sample.mask}: {error}") from error

    def present(self, sample: Sample) -> tuple[int, ...]:
        """Indices into `space.names` of the classes in the mask, ascending; the oracle's names."""
        return self.space.present(self.truth(sample))


def _pieces(mask: Bool[np.ndarray, "h w"]) -> Iterator[Bool[np.ndarray, "h w"]]:
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        if stats[number, cv2.CC_STAT_AREA] >= SPECK * mask.size:
            yield numbers == number


def value_list(values: Sequence[int]) -> str:
    """0, 1, 2, 5 as "0-2, 5"."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
