"""Checks of what a caller gives, with messages that say what came and what was expected."""

from typing import Any

import numpy as np
from jaxtyping import Shaped

from pnpovss.errors import InvalidInputError

__all__ = [
    "as_array",
    "as_image",
    "check_energies",
    "check_image_shape",
    "check_iterations",
    "check_maps",
    "check_not_all_forbidden",
    "check_probabilities",
    "is_tensor",
    "only_one",
]


def is_tensor(array: Any) -> bool:
    """Whether `array` is a torch tensor; does not import torch."""
    return type(array).__module__.partition(".")[0] == "torch" and hasattr(array, "device")


def as_array(values: Any) -> np.ndarray:
    """NumPy's array of an array, or of a tensor on the CPU; half precision of torch, bfloat16 included, as float32."""
    if not is_tensor(values):
        return np.asarray(values)
    values = values.detach()
    return (values.float() if values.is_floating_point() and values.element_size() < 4 else values).numpy()


def as_image(image: Any) -> Shaped[np.ndarray, "h w channel"]:
    """A copy of an image as a writable C-contiguous (h, w, channel) array of uint8 or float32.

    What is built from it later does not change with the caller's array; and numba compiles anew for read-only ones.

    Raises:
        InvalidInputError: another shape or type, no pixels, or values that are not finite.
    """
    array = as_array(image)
    check_image_shape(array.shape)
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
    if array.dtype not in (np.uint8, np.float32):
        raise InvalidInputError(f"the image must be uint8 or floating-point, got {array.dtype}")
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise InvalidInputError("the image holds NaN or infinite values")
    return np.array(array.reshape(*array.shape[:2], -1), order="C")


def check_image_shape(shape: tuple[int, ...]) -> None:
    """Raise InvalidInputError unless `shape` is (h, w) or (h, w, channel), none of them 0."""
    if len(shape) not in {2, 3} or 0 in shape:
        raise InvalidInputError(f"the image must be (h, w, 3) or (h, w) and not empty, got shape {tuple(shape)}")


def check_maps(name: str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raise InvalidInputError unless `shape` is (label, h, w) with at least one label and the image's size."""
    if len(shape) != 3 or shape[0] == 0 or tuple(shape[1:]) != size:
        raise InvalidInputError(
            f"{name} must be (C, h, w) = (C, {size[0]}, {size[1]}) like the image, got shape {tuple(shape)}"
        )


def check_probabilities(lowest: Any, highest: Any) -> None:
    """Raise InvalidInputError unless both are in [0, 1]; rounding may carry a softmax a little over 1."""
    if not (lowest >= 0 and highest <= 1 + 1e-3):  # NaN fails both comparisons.
        raise InvalidInputError(f"probabilities must be in [0, 1], got values from {lowest} to {highest}")


def check_energies(lowest: Any) -> None:
    """Raise InvalidInputError where the lowest energy is NaN or -inf; +inf forbids a label."""
    if not lowest > -np.inf:
        raise InvalidInputError(f"energies must be numbers above -inf, got values from {lowest} on")


def check_not_all_forbidden(pixels: int) -> None:
    """Raise InvalidInputError where there are pixels at which the energy of every label is +inf."""
    if pixels:
        raise InvalidInputError(
            f"the energy of every label is +inf (or above 1e30) at {pixels} pixel{'s' * (pixels > 1)}: "
            "leave each pixel a label that it may have"
        )


def check_iterations(iterations: int) -> None:
    """Raise InvalidInputError unless `iterations` is a whole number from 0 on."""
    if not isinstance(iterations, int | np.integer) or isinstance(iterations, bool) or iterations < 0:
        raise InvalidInputError(f"iterations must be a whole number, 0 or more, got {iterations!r}")


def only_one(probabilities: Any, energies: Any) -> tuple[str, Any]:
    """The one that was given, with its name.

    Raises:
        InvalidInputError: both or none.
    """
    if (probabilities is None) == (energies is None):
        both = "none" if probabilities is None else "both"
        raise InvalidInputError(f"give either probabilities or energies, got {both}")
    return ("energies", energies) if probabilities is None else ("probabilities", probabilities)
