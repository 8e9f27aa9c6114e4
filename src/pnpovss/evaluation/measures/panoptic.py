"""Panoptic quality (Kirillov et al. 2019, arXiv 1801.00868), as panopticapi counts it.

A thing of the truth and one that was found match where they are of one class and overlap by more than half (IoU > 0.5,
pixels without truth left out of the union); such a match is unique. SQ is the mean IoU of the matches of a class, RQ
their F1, PQ the product. What was found and lies mostly where there is no truth, or in a crowd of its own class, is
left out; crowds are not to be found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from pnpovss.datasets.base import Thing

__all__ = ["PanopticCounts"]


@dataclass(frozen=True, eq=False)
class PanopticCounts:
    """Counts by class, which add up over photos.

    Attributes:
        iou: sum of the IoU of the matches.
        matched: matches.
        false: found without a match.
        missed: things of the truth without a match.
    """

    iou: Float[np.ndarray, " class"]
    matched: Int64[np.ndarray, " class"]
    false: Int64[np.ndarray, " class"]
    missed: Int64[np.ndarray, " class"]

    @classmethod
    def none(cls, classes: int) -> "PanopticCounts":
        """Of no photo."""
        zero = np.zeros(classes, np.int64)
        return cls(np.zeros(classes), zero, zero.copy(), zero.copy())

    @classmethod
    def of(
        cls, truth: Sequence[Thing], found: Sequence[Thing], void: Bool[np.ndarray, "h w"], classes: int
    ) -> "PanopticCounts":
        """Of one photo.

        Args:
            truth: its things, crowds included; no two overlap.
            found: what was found; no two overlap.
            void: pixels without a truth.
            classes: how many there are.
        """
        counts = cls.none(classes)
        taken: set[int] = set()
        for thing in truth:
            if thing.crowd:
                continue
            best = next((i for i, other in enumerate(found) if _iou(thing, other, void) > 0.5), None)
            if best is None:
                counts.missed[thing.row] += 1
            else:
                taken.add(best)
                counts.matched[thing.row] += 1
                counts.iou[thing.row] += _iou(thing, found[best], void)
        for i, other in enumerate(found):
            if i not in taken and not _is_left_out(other, truth, void):
                counts.false[other.row] += 1
        return counts

    def __add__(self, other: "PanopticCounts") -> "PanopticCounts":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return PanopticCounts(*(first + second for first, second in pairs))

    @property
    def quality(self) -> Float[np.ndarray, "class 3"]:
        """PQ, SQ and RQ of each class in [0, 1]; NaN where it is neither in the truth nor found."""
        size = self.matched + (self.false + self.missed) / 2
        there = size > 0
        recognised = np.where(there, self.matched / np.where(there, size, 1), np.nan)
        segmented = np.where(there, self.iou / np.maximum(self.matched, 1), np.nan)
        return np.stack([recognised * segmented, segmented, recognised], axis=1)

    @property
    def means(self) -> tuple[float, float, float]:
        """PQ, SQ and RQ, each the mean over the classes that occur; NaN without any."""
        own = self.quality[~np.isnan(self.quality[:, 0])]
        pq, sq, rq = (float(value) for value in own.mean(0)) if len(own) else (float("nan"),) * 3
        return pq, sq, rq


def _iou(thing: Thing, other: Thing, void: Bool[np.ndarray, "h w"]) -> float:
    """Overlap of two things of one class, in [0, 1]; 0 of different classes."""
    if thing.row != other.row:
        return 0.0
    inside = int((thing.mask & other.mask).sum())
    union = int(thing.mask.sum()) + int((other.mask & ~void).sum()) - inside
    return inside / union if inside else 0.0


def _is_left_out(other: Thing, truth: Sequence[Thing], void: Bool[np.ndarray, "h w"]) -> bool:
    """Whether more than half of it lies where there is no truth, or in a crowd of its own class."""
    free = void.copy()
    for thing in truth:
        if thing.crowd and thing.row == other.row:
            free |= thing.mask
    return 2 * int((other.mask & free).sum()) > int(other.mask.sum())
