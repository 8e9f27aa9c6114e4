"""The confusion matrix over a whole data set, and every score that is read from it.

    total = Confusion.empty(21)
    for truth, predicted in pairs:
        total = total + Confusion.of(truth, predicted, 21)
    total.iou, total.miou

IoU comes from the summed counts, never from an average over images, and a class that neither truth nor prediction
holds has none (NaN), so it does not enter the mean: the definition of mmsegmentation and of torchmetrics' macro
Jaccard index.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Integer

from pnpovss.datasets.base import IGNORE, NOTHING
from pnpovss.errors import InvalidInputError

__all__ = ["Confusion", "Sparse"]

Sparse = list[list[int]]  # [truth, predicted, pixels] of the cells that are not 0


@dataclass(frozen=True, eq=False)
class Confusion:
    """Pixels by true and predicted class.

    Attributes:
        counts: Int64 "truth predicted"; the last column counts pixels predicted as none of the classes (a miss for
            the true class, a false alarm for no class).
    """

    counts: Int64[np.ndarray, "truth predicted"]

    @classmethod
    def empty(cls, classes: int) -> "Confusion":
        """No pixels yet."""
        return cls(np.zeros((classes, classes + 1), dtype=np.int64))

    @classmethod
    def of(cls, truth: Integer[np.ndarray, "..."], predicted: Integer[np.ndarray, "..."], classes: int) -> "Confusion":
        """Count one image.

        Args:
            truth: class indices; `IGNORE` (-1) leaves a pixel out, whatever was predicted there.
            predicted: class indices of the same shape; `NOTHING` (-1) is none of the classes.
            classes: how many there are.

        Raises:
            InvalidInputError: shapes differ, or an index is out of range.
        """
        if truth.shape != predicted.shape:
            raise InvalidInputError(
                f"truth has shape {truth.shape} and prediction {predicted.shape}; bring both to one size"
            )
        for what, values, least in (("truth", truth, IGNORE), ("prediction", predicted, NOTHING)):
            if values.size and not least <= int(values.min()) <= int(values.max()) < classes:
                raise InvalidInputError(
                    f"{what} holds class indices {values.min()} to {values.max()}; expected {least} to {classes - 1}"
                )
        counted = truth != IGNORE
        columns = classes + 1
        # NOTHING is -1, so modulo the columns it is the last one.
        cells = truth[counted].astype(np.int64) * columns + predicted[counted].astype(np.int64) % columns
        return cls(np.bincount(cells, minlength=classes * columns).reshape(classes, columns))

    @classmethod
    def from_sparse(cls, cells: Sequence[Sequence[int]], classes: int) -> "Confusion":
        """From [truth, predicted, pixels] triples; see `sparse`."""
        counts = np.zeros((classes, classes + 1), dtype=np.int64)
        if cells:
            rows, columns, pixels = np.asarray(cells, dtype=np.int64).T
            np.add.at(counts, (rows, columns), pixels)
        return cls(counts)

    @classmethod
    def each(cls, photos: Iterable[Sequence[Sequence[int]]], classes: int) -> Iterator["Confusion"]:
        """From the triples of many photos, one at a time: the matrices of all of them would fill the memory."""
        return (cls.from_sparse(cells, classes) for cells in photos)

    @classmethod
    def total(cls, parts: Iterable["Confusion"], classes: int) -> "Confusion":
        """The sum of many; `classes` says the shape when there are none."""
        counts = np.zeros((classes, classes + 1), dtype=np.int64)
        for part in parts:
            counts += part.counts
        return cls(counts)

    def __add__(self, other: "Confusion") -> "Confusion":
        if self.counts.shape != other.counts.shape:
            raise InvalidInputError(f"cannot add counts of {len(self.counts)} and {len(other.counts)} classes")
        return Confusion(self.counts + other.counts)

    @property
    def sparse(self) -> Sparse:
        """[truth, predicted, pixels] of the cells that are not 0, as plain integers."""
        rows, columns = np.nonzero(self.counts)
        return np.stack([rows, columns, self.counts[rows, columns]], 1).tolist()

    @property
    def hits(self) -> Int64[np.ndarray, " class"]:
        """Pixels labelled right, by class."""
        return np.diagonal(self.counts).copy()

    @property
    def truth(self) -> Int64[np.ndarray, " class"]:
        """Pixels of each true class."""
        return self.counts.sum(1)

    @property
    def predicted(self) -> Int64[np.ndarray, " class"]:
        """Pixels predicted as each class."""
        return self.counts[:, :-1].sum(0)

    @property
    def iou(self) -> Float[np.ndarray, " class"]:
        """Intersection over union of each class, in [0, 1]; NaN where neither truth nor prediction has the class."""
        return _ratio(self.hits, self.truth + self.predicted - self.hits)

    @property
    def miou(self) -> float:
        """Mean of `iou` over the classes that occur in truth or prediction; NaN when none does."""
        return _mean(self.iou)

    @property
    def miou_of_truth(self) -> float:
        """Mean of `iou` over the classes that occur in the truth; other than `miou` where some class never does."""
        return _mean(self.iou[self.truth > 0])

    @property
    def recall(self) -> Float[np.ndarray, " class"]:
        """Share of each class's pixels that were found; NaN where it is not in the truth."""
        return _ratio(self.hits, self.truth)

    @property
    def precision(self) -> Float[np.ndarray, " class"]:
        """Share of the pixels predicted as a class that are of it; NaN where it was never predicted."""
        return _ratio(self.hits, self.predicted)

    @property
    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that were labelled right; NaN without pixels."""
        return float(_ratio(self.hits.sum(keepdims=True), self.counts.sum(keepdims=True).ravel())[0])

    @property
    def frequency_weighted_iou(self) -> float:
        """IoU of the classes in the truth, weighted by their share of the pixels; NaN without pixels."""
        pixels = self.truth
        if not pixels.sum():
            return float("nan")
        return float((pixels * np.nan_to_num(self.iou)).sum() / pixels.sum())


def _ratio(part: Int64[np.ndarray, " n"], whole: Int64[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The quotient, NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: Float[np.ndarray, " class"]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
