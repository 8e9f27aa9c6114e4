"""Which part of a photo a map calls a name's: the masks that a judge is shown the photo through."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["AUTHORS_BLUR", "authors_mask", "level_masks"]

AUTHORS_BLUR = 0.04  # sigma, as a fraction of the longer side


def level_masks(
    heat: Float[Tensor, "name gh gw"], thresholds: Sequence[float], size: tuple[int, int]
) -> Bool[Tensor, "threshold name h w"]:
    """Where a map, enlarged as the method enlarges it, reaches a part of its range; nowhere for an empty map.

    Args:
        heat: not negative.
        thresholds: parts of each map's range, in [0, 1).
        size: (height, width) of the judge's input [px].
    """
    large = F.interpolate(heat[None].float(), size, mode="bilinear", align_corners=True)[0]
    low, high = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
    levels = torch.tensor(list(thresholds), device=large.device)[:, None, None, None]
    return (large - low >= levels * (high - low)) & (large > 0)


def authors_mask(heat: Float[Tensor, "gh gw"], threshold: float, size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """A mask as the authors' released code makes it.

    What differs from `level_masks`: the threshold is applied twice, to the patches and again to what was blurred; in
    between, the 0/1 patches are enlarged by a cubic curve, which overshoots, and blurred by a Gaussian of 0.04 of the
    longer side, so that a mask has round corners and patches that stand alone vanish.

    Args:
        heat: not negative.
        threshold: part of the map's range, in [0, 1).
        size: (height, width) of the judge's input [px].
    """
    patches = _stretched(heat.cpu().double().numpy()) > threshold
    large = cv2.resize(patches.astype(np.float64), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    blurred = cv2.GaussianBlur(_stretched(large), (0, 0), AUTHORS_BLUR * max(size))
    return torch.from_numpy(_stretched(blurred) > threshold)


def _stretched(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """To [0, 1]; all 0 where there is no range."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
