"""Where a feature lies in the permutohedral lattice, and how a lattice point is written as one integer.

The lattice of dimension d (Adams, Baek and Davis 2010) is the set of integer points of d + 1 coordinates that sum to
0 and are all congruent modulo d + 1. So a point is its remainder r (0 to d) and the quotients q of its first d
coordinates. Quotients of one image lie in a small box, so that all of it fits one 64-bit integer:

    key = r + (d + 1) * sum over i of (q_i - low_i) * stride_i

and the two neighbours along an axis are at constant distances that depend on r and the axis alone.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Float, Float32, Int64

from pnpovss.errors import InvalidInputError

__all__ = ["KeyLayout", "key_layout"]


@dataclass(frozen=True, eq=False)
class KeyLayout:
    """Constants of one lattice.

    Attributes:
        scales: float32 (d,), what features (already divided by their widths) are multiplied with.
        low: int64 (d,), smallest quotient of each coordinate.
        strides: int64 (d + 1,), of each coordinate in the key, d + 1 included; the last coordinate is not stored: 0.
        steps: int64 (d + 1 remainders, d + 1 axes), key of the neighbour one step back along an axis, minus the key.
        keys: how many keys there are; all are in [0, keys).
    """

    scales: Float32[np.ndarray, " dim"]
    low: Int64[np.ndarray, " dim"]
    strides: Int64[np.ndarray, " dim1"]
    steps: Int64[np.ndarray, "dim1 dim1"]
    keys: int


def key_layout(lowest: Float[np.ndarray, " dim"], highest: Float[np.ndarray, " dim"]) -> KeyLayout:
    """The layout for features between `lowest` and `highest` (in standard deviations).

    Raises:
        InvalidInputError: the range is so wide that keys would not fit 64 bits, or features so far from 0 that float32
            no longer tells where in a simplex they lie.
    """
    dims = len(lowest)
    # The blur has standard deviation sqrt(2 / 3) * (d + 1) in lattice units (Adams et al., page 6); diagonal: page 5.
    deviation = np.float32(np.sqrt(2.0 / 3.0) * (dims + 1))
    scales = np.array([1.0 / np.sqrt((i + 2) * (i + 1)) * float(deviation) for i in range(dims)], dtype=np.float32)
    bottom, top = _elevated_range(lowest * scales.astype(np.float64), highest * scales.astype(np.float64))
    if not max(np.abs(bottom).max(), np.abs(top).max()) < _FARTHEST * (dims + 1):
        raise InvalidInputError(_too_wide(lowest, highest))
    # One simplex around the range, one neighbour around that.
    low = np.floor(bottom / (dims + 1)).astype(np.int64) - 3
    counts = [int(n) for n in np.ceil(top / (dims + 1)).astype(np.int64) + 4 - low]
    keys = (dims + 1) * prod(counts)
    if keys >= 2**62:
        raise InvalidInputError(_too_wide(lowest, highest))
    strides = np.array([(dims + 1) * prod(counts[:i]) for i in range(dims)] + [0], dtype=np.int64)
    return KeyLayout(scales, low, strides, _steps(strides), keys)


# Simplices from 0 to the farthest feature. Beyond, float32 leaves fewer than 6 bits for the place within a simplex;
# from 2^22 on, none: rounding then gives ranks that are no ranks.
_FARTHEST = 2.0**18


def _too_wide(lowest: np.ndarray, highest: np.ndarray) -> str:
    spans = ", ".join(f"{low:.4g} to {high:.4g}" for low, high in zip(lowest, highest, strict=True))
    return (
        f"the image spans {spans} standard deviations of a pairwise term (x, y, channels), too many for the lattice: "
        "give the term larger widths"
    )


def _elevated_range(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the first d elevated coordinates: y_j = the sum from j on, minus j times the one before."""
    dims = len(low)
    bottom, top = np.empty(dims), np.empty(dims)
    for j in range(dims):
        own = (j * low[j - 1], j * high[j - 1]) if j else (0.0, 0.0)
        bottom[j] = low[j:].sum() - own[1]
        top[j] = high[j:].sum() - own[0]
    return bottom, top


def _steps(strides: np.ndarray) -> np.ndarray:
    """Along axis j every coordinate falls by 1 and the j-th rises by d; below remainder 0 all quotients fall by 1."""
    dims = len(strides) - 1
    steps = np.empty((dims + 1, dims + 1), dtype=np.int64)
    steps[:] = strides
    steps[1:] -= 1
    steps[0] += dims - strides.sum()
    return steps
