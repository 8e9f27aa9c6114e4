"""How sure a mIoU is, and the difference of two, given that the photos are a sample: the bootstrap over photos.

Photos are drawn with replacement, their counts summed, and the score computed anew, many times; the middle 95% of what
comes out is the interval. Two variants are compared on the same draws (paired), since most of the spread is which
photos came, and both saw the same. A handful of photos says nothing of others: below `LEAST` there is no interval.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Integer

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.measures.confusion import Confusion

__all__ = [
    "DRAWS",
    "LEAST",
    "Compared",
    "ImageCounts",
    "Interval",
    "compare",
    "difference",
    "interval",
    "mean_interval",
    "mean_intervals",
]

DRAWS = 2000
SEED = 0
LEVEL = 0.95
LEAST = 10  # photos
CHUNK = 200  # draws at once, to bound memory
KEPT = 4  # sets of draws that are kept,
MOST_KEPT = 20_000_000  # and numbers in each, of at most 2 bytes where draws are as many as `DRAWS`: 40 MB

Weights = Float[np.ndarray, "draw photo"]
Drawn = Integer[np.ndarray, "draw photo"]


@dataclass(frozen=True)
class Interval:
    """A value and the interval that holds it in 95% of the draws.

    Attributes:
        value: on the photos as they are.
        low: lower end; NaN with too few photos, as is the upper one.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there were photos enough for an interval."""
        return self.low == self.low

    @property
    def ends(self) -> list[float] | None:
        """[low, high] as JSON-ready values; None where the interval is not known."""
        return [self.low, self.high] if self.is_known else None

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; False where the interval is not known."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Compared:
    """A variant beside the one that it is compared with.

    Attributes:
        own: its mIoU.
        change: its mIoU minus the other's.
    """

    own: Interval
    change: Interval


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
    def of(cls, photos: Iterable[Confusion]) -> "ImageCounts":
        """From one confusion matrix per photo, of which nothing is kept but what is needed: they may come one by one.

        Raises:
            InvalidInputError: no photos.
        """
        counted = [(photo.hits, photo.truth + photo.predicted) for photo in photos]
        if not counted:
            raise InvalidInputError("an interval needs at least one photo")
        hits, both = (np.stack(each).astype(np.float64) for each in zip(*counted, strict=True))
        return cls(hits, both - hits)

    def chosen(self, photos: Sequence[int] | Integer[np.ndarray, " photo"]) -> "ImageCounts":
        """Of some of the photos, by their places."""
        return ImageCounts(self.hits[photos], self.union[photos])

    def __len__(self) -> int:
        return len(self.hits)

    def miou(self, weights: Weights) -> Float[np.ndarray, " draw"]:
        """The data set's mIoU with each photo counted so many times; NaN where no class occurs."""
        hits, union = weights @ self.hits, weights @ self.union
        there = union > 0
        iou = np.where(there, hits / np.where(there, union, 1), 0)
        count = there.sum(1)
        return np.where(count > 0, iou.sum(1) / np.maximum(count, 1), np.nan)


def interval(photos: ImageCounts, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The mIoU and its 95% interval."""
    [found] = _bootstrap(lambda weights: photos.miou(weights)[:, None], len(photos), draws, seed)
    return found


def difference(photos: ImageCounts, reference: ImageCounts, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The mIoU of one variant minus that of another on the same photos, with its 95% interval over shared draws.

    Raises:
        InvalidInputError: not the same number of photos.
    """
    if len(photos) != len(reference):
        raise InvalidInputError(f"a paired comparison needs the same photos, got {len(photos)} and {len(reference)}")

    def change(weights: Weights) -> Float[np.ndarray, "draw 1"]:
        return (photos.miou(weights) - reference.miou(weights))[:, None]

    [found] = _bootstrap(change, len(photos), draws, seed)
    return found


def compare(variants: Mapping[str, Iterable[Confusion]]) -> dict[str, Compared]:
    """Each variant's mIoU, and how it differs from that of the first, on the same photos."""
    counts = {name: ImageCounts.of(photos) for name, photos in variants.items()}
    reference = next(iter(counts.values()))
    return {name: Compared(interval(own), difference(own, reference)) for name, own in counts.items()}


def mean_interval(photos: Sequence[Sequence[float]], draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The mean of all values and its 95% interval; drawn photo by photo, since the values of one photo are alike.

    Args:
        photos: the values of each; not all may be empty.
        draws: how many.
        seed: of the draws.
    """
    sums, counts = np.array([[sum(photo)] for photo in photos], float), np.array(list(map(len, photos)), float)
    [found] = mean_intervals(sums, counts, draws, seed)
    return found


def mean_intervals(
    sums: Float[np.ndarray, "photo value"], counts: Float[np.ndarray, " photo"], draws: int = DRAWS, seed: int = SEED
) -> list[Interval]:
    """What `mean_interval` gives of each of several values of the same things, at once.

    Args:
        sums: of each value over the things of a photo.
        counts: how many things each photo has; not all may have none.
        draws: how many.
        seed: of the draws.
    """

    def means(weights: Weights) -> Float[np.ndarray, "draw value"]:
        drawn = (weights @ counts)[:, None]
        return np.where(drawn > 0, weights @ sums / np.maximum(drawn, 1), np.nan)

    return _bootstrap(means, len(counts), draws, seed)


def _bootstrap(
    statistic: Callable[[Weights], Float[np.ndarray, "draw value"]], photos: int, draws: int, seed: int
) -> list[Interval]:
    [values] = statistic(np.ones((1, photos))).tolist()
    if photos < LEAST:
        return [Interval(value, float("nan"), float("nan")) for value in values]
    drawn = np.concatenate([statistic(weights) for weights in _weights(photos, draws, seed)])
    lows, highs = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).tolist()
    return [Interval(*each) for each in zip(values, lows, highs, strict=True)]


def _weights(photos: int, draws: int, seed: int) -> Iterator[Weights]:
    chosen = _kept if photos * draws <= MOST_KEPT else _drawn
    for counts in chosen(photos, draws, seed):
        yield counts.astype(float)


@lru_cache(maxsize=KEPT)
def _kept(photos: int, draws: int, seed: int) -> tuple[Drawn, ...]:
    return tuple(_drawn(photos, draws, seed))


def _drawn(photos: int, draws: int, seed: int) -> Iterator[Drawn]:
    """How often each photo comes, in the smallest numbers that hold it."""
    random, small = np.random.default_rng(seed), np.min_scalar_type(photos)
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        yield random.multinomial(photos, np.full(photos, 1 / photos), size=size).astype(small)
