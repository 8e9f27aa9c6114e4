"""What the parts of a result must be; each check says what came and what was expected."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from pnpovss.errors import InvalidInputError
from pnpovss.results.labels import BACKGROUND, MOST_NAMES

__all__ = ["check_array", "check_kept", "check_labels", "check_probability", "check_range"]

_SLACK = 1e-4  # beyond [0, 1]: sums of float32 may be so far off


def check_array(what: str, value: Any, dtype: type[np.generic], shape: Sequence[int | str]) -> None:
    """An array of this type and shape; an axis that may have any length is given by its name.

    Raises:
        InvalidInputError: it is another thing.
    """
    if not isinstance(value, np.ndarray):
        raise InvalidInputError(f"{what} are a {type(value).__name__}; expected an array of {np.dtype(dtype)}")
    fits = len(shape) == value.ndim and all(
        isinstance(axis, str) or axis == length for axis, length in zip(shape, value.shape, strict=True)
    )
    if value.dtype != dtype or not fits:
        wanted = " ".join(map(str, shape))
        raise InvalidInputError(
            f"{what} are {value.dtype} of shape {value.shape}; expected {np.dtype(dtype)} of shape ({wanted})"
        )


def check_range(what: str, values: np.ndarray, high: float = np.inf) -> None:
    """Finite values from 0 to `high`.

    Raises:
        InvalidInputError: some are not.
    """
    if not values.size:
        return
    low, top = float(values.min()), float(values.max())
    if not (-_SLACK <= low and top <= high + _SLACK and np.isfinite(top)):  # NaN passes through min and max
        wanted = "finite values from 0 on" if high == np.inf else f"values in [0, {high:g}]"
        raise InvalidInputError(f"{what} range from {low:g} to {top:g}; expected {wanted}")


def check_probability(what: str, value: float) -> None:
    """A number in [0, 1].

    Raises:
        InvalidInputError: it is not.
    """
    if not -_SLACK <= value <= 1 + _SLACK:
        raise InvalidInputError(f"{what} is {value!r}; expected a probability in [0, 1]")


def check_kept(kept: Sequence[int], names: int) -> None:
    """Positions among so many names, in order, each once.

    Raises:
        InvalidInputError: they are not, or there are no names, or more than labels can tell apart.
    """
    if not 0 < names <= MOST_NAMES:
        raise InvalidInputError(f"{names} names; expected 1 to {MOST_NAMES:,}")
    if list(kept) != sorted(set(kept)) or not all(0 <= index < names for index in kept):
        raise InvalidInputError(f"kept is {tuple(kept)}; expected positions among {names} names, in order, each once")


def check_labels(counts: Integer[np.ndarray, " label"], kept: Sequence[int], *, background: bool) -> None:
    """Labels of names that are kept, and of the background where there is one.

    Args:
        counts: pixels of each label.
        kept: positions of the names that may have pixels.
        background: whether pixels may have none.

    Raises:
        InvalidInputError: there are others.
    """
    allowed = {index + 1 for index in kept} | ({BACKGROUND} if background else set())
    if foreign := [label for label in np.flatnonzero(counts).tolist() if label not in allowed]:
        raise InvalidInputError(
            f"labels hold {foreign[0]}; expected one of {sorted(allowed)[:20]}: i + 1 for the name at position i, "
            "0 only where there is a background"
        )
