"""From the patch maps of names to score maps at the image's size: threshold, resize, background, blur."""

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["add_background", "gaussian_blur", "normalise", "resize", "softmax", "threshold"]


def threshold(maps: Float[Tensor, "name gh gw"], level: float) -> Float[Tensor, "name gh gw"]:
    """Set to 0 what lies below `level` of a name's own range (min to max); the rest keeps its raw value."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    # A flat map has no range: keep it, rather than divide 0 by 0.
    return torch.where(maps - low >= level * (high - low), maps, 0.0)


def resize(maps: Float[Tensor, "name gh gw"], size: tuple[int, int]) -> Float[np.ndarray, "name h w"]:
    """Bilinear, corners aligned, to (height, width) in pixels; float32."""
    return F.interpolate(maps[None].float(), size=size, mode="bilinear", align_corners=True)[0].cpu().numpy()


def add_background(scores: Float[np.ndarray, "name h w"]) -> Float[np.ndarray, "label h w"]:
    """Put the background in front: 1 where every name's score is 0, else 0."""
    return np.concatenate([(scores == 0).all(axis=0, keepdims=True).astype(np.float32), scores])


def gaussian_blur(scores: Float[np.ndarray, "label h w"], sigma: float) -> Float[np.ndarray, "label h w"]:
    """Blur every map with a Gaussian that is cut off at 4 sigma, the image mirrored at its edges.

    Args:
        scores: float32 maps.
        sigma: standard deviation, as a fraction of the longer side (the paper's 0.05).
    """
    pixels = sigma * max(scores.shape[1:])
    side = 2 * int(4 * pixels + 0.5) + 1
    blurred = [cv2.GaussianBlur(score, (side, side), pixels, borderType=cv2.BORDER_REFLECT) for score in scores]
    return np.stack([blur.reshape(scores.shape[1:]) for blur in blurred])


def normalise(scores: Float[np.ndarray, "label h w"]) -> Float[np.ndarray, "label h w"]:
    """Stretch every map to [0, 1]; an empty map stays 0, and a flat one is 1 (the authors' 0/0 is our 0 or 1)."""
    low, high = scores.min(axis=(1, 2), keepdims=True), scores.max(axis=(1, 2), keepdims=True)
    span = high - low
    return np.where(span > 0, (scores - low) / np.where(span > 0, span, 1), (scores > 0).astype(np.float32))


def softmax(scores: Float[np.ndarray, "label h w"]) -> Float[np.ndarray, "label h w"]:
    """Probabilities over the labels of each pixel, temperature 1."""
    exponentials = np.exp(scores - scores.max(axis=0, keepdims=True))
    return exponentials / exponentials.sum(axis=0, keepdims=True)
