"""Salience Dropout (paper section 3.3): blank what the model leaned on most, look again, and whole objects emerge."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pnpovss.config import DropoutSettings
from pnpovss.saliency.tokens import merge_tokens

__all__ = ["blank_patches", "drop_most_salient"]


def drop_most_salient(
    maps: Sequence[Float[Tensor, "_token gh gw"]],
    names: Sequence[Sequence[Sequence[int]]],
    kept: Bool[Tensor, "b gh gw"],
    settings: DropoutSettings,
) -> Bool[Tensor, "b gh gw"]:
    """The patches that are left once the most salient of those that were left are dropped.

    Args:
        maps: of each image, the token maps of the last look.
        names: of each image, for each name, the indices of its tokens.
        kept: the patches that the last look could see.
        settings: how many are dropped, and whether they are ranked by names or by tokens.
    """
    return torch.stack(
        [
            _drop(_salience(seen, tokens, settings), left, settings.drop)
            for seen, tokens, left in zip(maps, names, kept, strict=True)
        ]
    )


def blank_patches(pixels: Float[Tensor, "b 3 H W"], kept: Bool[Tensor, "b gh gw"]) -> Float[Tensor, "b 3 H W"]:
    """Replace the dropped patches by the mean colour (0, since pixels are normalised), as the authors do."""
    if bool(kept.all()):
        return pixels
    height, width = pixels.shape[2] // kept.shape[1], pixels.shape[3] // kept.shape[2]
    mask = kept.repeat_interleave(height, 1).repeat_interleave(width, 2)
    return pixels * mask[:, None]


def _salience(
    maps: Float[Tensor, "token gh gw"], names: Sequence[Sequence[int]], settings: DropoutSettings
) -> Float[Tensor, "gh gw"]:
    """U of each patch: the sum over the names' maps, or over all their tokens'."""
    if settings.ranking == "tokens":
        return maps[[token for tokens in names for token in tokens]].sum(0)
    return merge_tokens(maps, names).sum(0)


def _drop(saliency: Float[Tensor, "gh gw"], kept: Bool[Tensor, "gh gw"], drop: int | float) -> Bool[Tensor, "gh gw"]:
    """Remove the most salient of the kept patches; at least one stays, or there would be nothing to look at."""
    remaining = int(kept.sum())
    count = drop if isinstance(drop, int) else max(1, round(drop * remaining))
    salient = saliency.masked_fill(~kept, -torch.inf).flatten().topk(min(count, remaining - 1)).indices
    return kept.flatten().index_fill(0, salient, False).view_as(kept)
