"""The pairwise terms of a Dense CRF: which pixels talk to each other, and what it costs them to disagree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import ArrayLike

from pnpovss.errors import InvalidInputError

__all__ = ["Bilateral", "Compatibility", "Gaussian", "Term"]

Compatibility = float | ArrayLike


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Nearby pixels prefer the same label (the smoothness kernel of Krähenbühl and Koltun 2011, section 4).

    The kernel is exp(-(dx / sx)^2 / 2 - (dy / sy)^2 / 2), filtered by a permutohedral lattice and normalised
    symmetrically.

    Attributes:
        sxy: standard deviation in pixels, one number or (x, y).
        compat: a number w gives Potts labels, w being the reward of agreeing. An array is the penalty instead, with
            the sign that `pydensecrf` gives it: (C,) on the diagonal, (C, C) between two labels (its symmetric part).
    """

    sxy: float | tuple[float, float] = 3.0
    compat: Compatibility = 7.0

    def __post_init__(self) -> None:
        _widths("Gaussian sxy", self.sxy, 2)
        _compatibility("Gaussian", self.compat)

    @property
    def sees_image(self) -> bool:
        """Whether the kernel depends on the image and not on its size alone."""
        return False

    def widths(self, channels: int) -> Float32[np.ndarray, " dim"]:
        """The kernel's standard deviations: x, y [px]."""
        return _widths("Gaussian sxy", self.sxy, 2)


@dataclass(frozen=True, eq=False)
class Bilateral:
    """Nearby pixels of similar colour prefer the same label (the appearance kernel).

    The kernel is exp(-(dx / sx)^2 / 2 - (dy / sy)^2 / 2 - sum over channels of (dc / sc)^2 / 2).

    Attributes:
        sxy: standard deviation in pixels, one number or (x, y).
        srgb: standard deviation of colour in the image's own levels (0 to 255 for a uint8 photo), one number or one
            per channel.
        compat: as for `Gaussian`.
    """

    sxy: float | tuple[float, float] = 50.0
    srgb: float | tuple[float, ...] = 5.0
    compat: Compatibility = 10.0

    def __post_init__(self) -> None:
        _widths("Bilateral sxy", self.sxy, 2)
        _widths("Bilateral srgb", self.srgb, np.size(self.srgb))
        _compatibility("Bilateral", self.compat)

    @property
    def sees_image(self) -> bool:
        """Whether the kernel depends on the image and not on its size alone."""
        return True

    def widths(self, channels: int) -> Float32[np.ndarray, " dim"]:
        """The kernel's standard deviations: x, y [px], then one per channel [levels]."""
        spatial = _widths("Bilateral sxy", self.sxy, 2)
        return np.concatenate([spatial, _widths("Bilateral srgb", self.srgb, channels)])


Term = Gaussian | Bilateral
# Of a weight, either sign: sums of such weights are numbers in float32.
_LARGEST = 1e20


def potts_weight(term: Term) -> float | None:
    """The reward of agreeing when `term` is a Potts term, else None."""
    return float(np.asarray(term.compat)) if np.ndim(term.compat) == 0 else None


def reward_matrix(term: Term, labels: int) -> Float32[np.ndarray, "label label"]:
    """What label a gains by a neighbour of label b, symmetric: w on the diagonal for Potts, minus the penalty else.

    Raises:
        InvalidInputError: the compatibility is for another number of labels.
    """
    compat = np.asarray(term.compat, dtype=np.float32)
    if compat.ndim == 0:
        return compat * np.eye(labels, dtype=np.float32)
    if compat.shape not in {(labels,), (labels, labels)}:
        raise InvalidInputError(
            f"compat of {type(term).__name__} has shape {compat.shape}, but there are {labels} labels: "
            f"give a number, ({labels},) or ({labels}, {labels})"
        )
    penalty = np.diag(compat) if compat.ndim == 1 else (compat + compat.T) / 2
    return np.ascontiguousarray(-penalty, dtype=np.float32)


def _widths(name: str, value: float | tuple[float, ...], count: int) -> Float32[np.ndarray, " dim"]:
    widths = np.atleast_1d(_float32(value))
    if widths.ndim != 1 or len(widths) not in {1, count}:
        raise InvalidInputError(f"{name} needs one number or {count}, got {value!r}")
    if not (np.isfinite(widths).all() and (widths > 0).all()):
        raise InvalidInputError(f"{name} must be positive and finite, got {value!r}")
    return np.broadcast_to(widths, count)


def _compatibility(name: str, compat: Compatibility) -> None:
    array = _float32(compat)
    if array.ndim > 2 or (array.ndim == 2 and array.shape[0] != array.shape[1]):
        raise InvalidInputError(f"compat of {name} must be a number, (C,) or (C, C), got shape {array.shape}")
    if not (np.abs(array) <= _LARGEST).all():
        raise InvalidInputError(f"compat of {name} must be finite, {_LARGEST:.0e} at most, got {compat!r}")


def _float32(value: ArrayLike) -> Float32[np.ndarray, "..."]:
    """Numbers beyond float32's become infinite, and are refused as such."""
    with np.errstate(over="ignore"):
        return np.asarray(value, dtype=np.float32)
