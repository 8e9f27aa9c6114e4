"""How sure a mIoU is, and the difference of two, given that the photos are a sample: the bootstrap over photos.

Photos are drawn with replacement, their counts summed, and the score computed anew, many times; the middle 95% of what
comes out is the interval. Two arms are compared on the same draws (paired), since most of the spread is which photos
came, and both saw the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.measures.confusion import Confusion

__all__ = ["DRAWS", "ImageCounts", "Interval", "difference", "interval"]

DRAWS = 2000
SEED = 0
LEVEL = 0.95
CHUNK = 200  # draws at once, to bound memory


@dataclass(frozen=True)
class Interval:
    """A value and the interval that holds it in 95% of the draws.

    Attributes:
        value: on the photos as they are.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """What IoU needs of each photo.

    Attributes:
        hits: pixels labelled right.
        union: pixels of the class in truth or prediction.
    """

    hits: Float[np.ndarray, "photo class"]
    union: Float[np.ndarray, "photo class"]

    @classmethod
    def of(cls, photos: Sequence[Confusion]) -> "ImageCounts":
        """From one confusion matrix a photo.

        Raises:
            InvalidInputError: no photos.
        """
        if not photos:
            raise InvalidInputError("an interval needs at least one photo")
        hits = np.stack([photo.hits for photo in photos]).astype(np.float64)
        return cls(hits, np.stack([photo.truth + photo.predicted for photo in photos]) - hits)

    def __len__(self) -> int:
        return len(self.hits)

    def miou(self, weights: Float[np.ndarray, "draw photo"]) -> Float[np.ndarray, " draw"]:
        """The data set's mIoU with each photo counted so many times; NaN where no class occurs."""
        hits, union = weights @ self.hits, weights @ self.union
        there = union > 0
        iou = np.where(there, hits / np.where(there, union, 1), 0)
        count = there.sum(1)
        return np.where(count > 0, iou.sum(1) / np.maximum(count, 1), np.nan)


def interval(photos: ImageCounts, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The mIoU and its 95% interval."""
    drawn = np.concatenate([photos.miou(weights) for weights in _weights(len(photos), draws, seed)])
    return _middle(float(photos.miou(np.ones((1, len(photos))))[0]), drawn)


def difference(photos: ImageCounts, reference: ImageCounts, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The mIoU of one arm minus that of another on the same photos, with its 95% interval over shared draws.

    Raises:
        InvalidInputError: not the same number of photos.
    """
    if len(photos) != len(reference):
        raise InvalidInputError(f"a paired comparison needs the same photos, got {len(photos)} and {len(reference)}")
    drawn = np.concatenate(
        [photos.miou(weights) - reference.miou(weights) for weights in _weights(len(photos), draws, seed)]
    )
    whole = np.ones((1, len(photos)))
    return _middle(float((photos.miou(whole) - reference.miou(whole))[0]), drawn)


def _weights(photos: int, draws: int, seed: int):
    random = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        yield random.multinomial(photos, np.full(photos, 1 / photos), size=min(CHUNK, draws - start)).astype(float)


def _middle(value: float, drawn: Float[np.ndarray, " draw"]) -> Interval:
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
