"""Label values: 0 is the background, i + 1 the i-th name that was asked for, whatever of them is in the photo."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

__all__ = ["BACKGROUND", "MOST_NAMES", "as_asked", "label_counts", "label_dtype"]

BACKGROUND = 0  # the label of pixels that are none of the names
MOST_NAMES = 65_535  # what 16 bits count

_AT_ONCE = 1 << 20  # pixels counted at a time; each takes eight bytes meanwhile


def label_dtype(names: int) -> type[np.unsignedinteger]:
    """The smallest unsigned type that holds the label of each of so many names: 8 bits, or 16 beyond 255."""
    return np.uint8 if names <= 255 else np.uint16


def as_asked(labels: Integer[np.ndarray, "h w"], kept: Sequence[int], names: int) -> Integer[np.ndarray, "h w"]:
    """Labels among the names that are kept, as labels among all that were asked for; of `label_dtype(names)`.

    Args:
        labels: 0 is the background, k + 1 the name at position kept[k].
        kept: positions among the names asked for.
        names: how many were asked for.
    """
    return np.array([BACKGROUND, *(index + 1 for index in kept)], label_dtype(names))[labels]


def label_counts(labels: Integer[np.ndarray, "h w"], names: int) -> Integer[np.ndarray, " label"]:
    """Pixels of each label, those beyond the names included if there are any."""
    flat, counts = labels.reshape(-1), np.zeros(max(names, int(labels.max(initial=0))) + 1, np.int64)
    for start in range(0, flat.size, _AT_ONCE):
        counts += np.bincount(flat[start : start + _AT_ONCE], minlength=len(counts))
    return counts
