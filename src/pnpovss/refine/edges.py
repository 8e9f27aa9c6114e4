"""Label probabilities of a reduced photo at full size, with edges where the photo has them."""

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

__all__ = ["draw_edges"]

# Where the most probable label is surer than this, no edge is near.
_SURE = 0.9
# Neighbours on each side that a pixel asks, and how near they must be in place [px of the reduced photo] and colour
# [0-255 levels] (joint bilateral upsampling: Kopf et al. 2007).
_REACH, _NEAR, _ALIKE = 2, 1.0, 5.0
# Pixels that are drawn at a time.
_CHUNK = 1 << 18


def draw_edges(
    q: Float[Tensor, "label sh sw"], small: UInt8[Tensor, "sh sw 3"], photo: UInt8[Tensor, "h w 3"]
) -> Float[Tensor, "label h w"]:
    """Enlarge probabilities, bilinearly; at edges by those neighbours that have the pixel's own colour.

    Args:
        q: float32, sums to 1 over labels.
        small: the reduced photo that they belong to.
        photo: at full size.
    """
    height, width, _ = photo.shape
    out = F.interpolate(q[None], (height, width), mode="bilinear")[0]
    flat, colours = out.view(len(q), -1), photo.view(-1, 3)
    # Searched some rows at a time: the largest of each pixel is a map of its own.
    rows = max(1, _CHUNK * 4 // width)
    for first in range(0, height, rows):
        unsure = out[:, first : first + rows].amax(dim=0).flatten().lt(_SURE).nonzero()[:, 0] + first * width
        for pixels in unsure.split(_CHUNK):
            flat[:, pixels] = _asked(pixels, (height, width), colours[pixels], q, small)
    return out


def _asked(
    pixels: Int64[Tensor, " n"],
    size: tuple[int, int],
    colours: UInt8[Tensor, "n 3"],
    q: Float[Tensor, "label sh sw"],
    small: UInt8[Tensor, "sh sw 3"],
) -> Float[Tensor, "label n"]:
    """Means of q over the neighbours in the reduced photo, weighted by how near they are in place and colour."""
    high, wide = small.shape[:2]
    y = ((pixels // size[1]).float() + 0.5) * (high / size[0]) - 0.5
    x = ((pixels % size[1]).float() + 0.5) * (wide / size[1]) - 0.5
    flat, colours_small, colours = q.reshape(len(q), -1), small.reshape(-1, 3), colours.float()
    total, weights = q.new_zeros(len(q), len(pixels)), q.new_full((len(pixels),), 0.0)
    for dy in range(-_REACH, _REACH + 1):
        for dx in range(-_REACH, _REACH + 1):
            row, column = (y.round() + dy).clamp_(0, high - 1), (x.round() + dx).clamp_(0, wide - 1)
            place = (row * wide + column).long()
            apart = ((row - y) ** 2 + (column - x) ** 2) / (2 * _NEAR**2)
            unlike = (colours_small[place].float() - colours).square_().sum(dim=1) / (2 * _ALIKE**2)
            # Where nothing is alike, the nearest still count.
            weight = torch.exp(-apart) * (torch.exp(-unlike) + 1e-6)
            total += weight * flat[:, place]
            weights += weight
    return total / weights
