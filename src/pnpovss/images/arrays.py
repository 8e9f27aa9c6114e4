"""NumPy arrays as pictures."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from pnpovss.errors import ImageError
from pnpovss.images.strips import rows_per_strip

__all__ = ["from_array", "unit_to_bytes"]


def from_array(array: np.ndarray) -> Image.Image:
    """A picture of mode L, RGB or RGBA.

    Args:
        array: "h w" or "h w c" with 1, 3 or 4 channels; uint8 in [0, 255], bool, or floating point in [0, 1].

    Raises:
        ImageError: another shape, kind or range.
    """
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; channels come last, so transpose(1, 2, 0)" if channels_first else ""
        raise ImageError(
            f"an image array is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got shape {tuple(array.shape)}{hint}"
        )
    if 0 in array.shape:
        raise ImageError(f"an image array needs at least one pixel, got shape {tuple(array.shape)}")
    return Image.fromarray(np.ascontiguousarray(_as_bytes(array)))


def _as_bytes(array: np.ndarray) -> UInt8[np.ndarray, "h w *c"]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        return unit_to_bytes(array)
    raise ImageError(f"an image array is uint8 in [0, 255], bool, or float in [0, 1], got {array.dtype}; convert it")


def unit_to_bytes(array: Float[np.ndarray, "h w *c"]) -> UInt8[np.ndarray, "h w *c"]:
    """Values in [0, 1] as bytes, rounded to the nearest; strip by strip, so that no second array of floats is needed.

    Raises:
        ImageError: values outside, or NaN.
    """
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also where either is NaN
        raise ImageError(
            f"a floating point image array holds values in [0, 1], got {low:g} to {high:g}; "
            f"scale it, or convert it to uint8 if its values are in [0, 255]"
        )
    values = np.empty(array.shape, np.uint8)
    rows = rows_per_strip(array.shape[1])
    for top in range(0, len(array), rows):
        np.rint(array[top : top + rows] * 255, out=values[top : top + rows], casting="unsafe")
    return values
