"""The steps between patch maps and Dense CRF as they are written in the paper and the released code, at full size."""

import cv2
import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def resize(maps: Float[Tensor, "name gh gw"], size: tuple[int, int]) -> Float[np.ndarray, "name h w"]:
    """Bilinear, corners aligned."""
    return F.interpolate(maps[None].float(), size=size, mode="bilinear", align_corners=True)[0].numpy()


def add_background(scores: Float[np.ndarray, "name h w"]) -> Float[np.ndarray, "label h w"]:
    """The background in front: 1 where every name's score is 0, else 0."""
    return np.concatenate([(scores == 0).all(axis=0, keepdims=True).astype(np.float32), scores])


def gaussian_blur(scores: Float[np.ndarray, "label h w"], pixels: float) -> Float[np.ndarray, "label h w"]:
    """A Gaussian cut off at 4 sigma (`pixels`), the image mirrored at its edges."""
    side = 2 * int(4 * pixels + 0.5) + 1
    blurred = [cv2.GaussianBlur(score, (side, side), pixels, borderType=cv2.BORDER_REFLECT) for score in scores]
    return np.stack([blur.reshape(scores.shape[1:]) for blur in blurred])
