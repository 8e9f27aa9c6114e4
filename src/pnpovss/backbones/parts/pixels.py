"""What a backbone takes as pixels."""

from torch import Tensor

from pnpovss.errors import InvalidInputError

__all__ = ["check_pixels"]


def check_pixels(pixels: Tensor, patch: int) -> None:
    """Refuse pixels that are not "b 3 H W" with sides of whole patches.

    Raises:
        InvalidInputError: another shape, or a side that is no multiple of the patch; the message says what is near.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InvalidInputError(f"pixels have shape {tuple(pixels.shape)}; expected (images, 3, height, width)")
    height, width = pixels.shape[2:]
    if height % patch or width % patch or not height or not width:
        near = [max(1, round(side / patch)) * patch for side in (height, width)]
        raise InvalidInputError(
            f"an input of {height} x {width} px is no multiple of the patch, {patch} px; try {near[0]} x {near[1]}"
        )
