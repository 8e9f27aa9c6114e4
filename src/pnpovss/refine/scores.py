"""From the patch maps of names to probabilities at the photo's size: threshold, resize, background, blur, softmax."""

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.config import Config
from pnpovss.refine.enlarge import Size, enlarge, enlarge_background

__all__ = ["normalise", "score_maps", "softmax", "threshold"]


def score_maps(
    maps: Float[Tensor, "name gh gw"], size: Size, config: Config, working_size: Size | None = None
) -> Float[Tensor, "label h w"]:
    """Each label's probability per pixel, before the Dense CRF: background first where there is one.

    Args:
        maps: not negative.
        size: (height, width) of the photo [px].
        config: which steps, and how.
        working_size: (height, width) of the result [px]; None for the photo's. A smaller one gets the means of areas.

    Returns:
        float32 on the maps' device; sums to 1 over labels.
    """
    out = working_size or size
    kept = (maps if config.threshold is None else threshold(maps, config.threshold)).float()
    background = int(config.background.applies(len(maps)))
    sigma = 0.0 if config.blur is None else config.blur.sigma * max(size)
    scores = kept.new_empty(background + len(maps), *out)
    enlarge(kept, size, sigma, out=scores[background:])
    if background:
        enlarge_background(kept, size, sigma, out=scores[0])
    return softmax(normalise(scores))


def threshold(maps: Float[Tensor, "name gh gw"], level: float) -> Float[Tensor, "name gh gw"]:
    """Set to 0 what lies below `level` of a name's own range (min to max); the rest keeps its raw value."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    # A flat map has no range: keep it, rather than divide 0 by 0.
    return torch.where(maps - low >= level * (high - low), maps, 0.0)


# Part of a map's largest value below which its range is rounding, and the map flat.
_FLAT = 1e-5


def normalise(scores: Float[Tensor, "label h w"]) -> Float[Tensor, "label h w"]:
    """Stretch every map to [0, 1], in place; an empty map stays 0, and a flat one is 1 (the authors' 0/0)."""
    low, high = scores.amin((1, 2), keepdim=True), scores.amax((1, 2), keepdim=True)
    flat = high - low <= _FLAT * high
    scores.sub_(torch.where(flat, 0, low)).div_(torch.where(flat, torch.where(high > 0, high, 1), high - low))
    return scores


def softmax(scores: Float[Tensor, "label h w"]) -> Float[Tensor, "label h w"]:
    """Probabilities over the labels of each pixel, temperature 1, in place.

    Args:
        scores: in [0, 1], so that no exponential can overflow.
    """
    scores.exp_()
    return scores.div_(scores.sum(dim=0, keepdim=True))
