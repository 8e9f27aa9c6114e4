"""Salience Dropout (paper section 3.3): blank what the model leaned on most, look again, and whole objects emerge."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pnpovss.config import DropoutSettings

__all__ = ["salience_dropout"]

Maps = Float[Tensor, "token gh gw"]
Look = Callable[[Bool[Tensor, "b gh gw"]], Sequence[Maps]]
Rank = Callable[[int, Maps], Float[Tensor, "gh gw"]]


def salience_dropout(look: Look, rank: Rank, kept: Bool[Tensor, "b gh gw"], settings: DropoutSettings) -> list[Maps]:
    """Sum the maps of several looks at b images, each look without the patches the earlier ones ranked highest.

    Args:
        look: the token maps of each image, given the patches it may see; blanked patches keep their place in the grid.
        rank: the salience U of each patch of image i, given its token maps of this pass.
        kept: the patches of the first look, usually all of them.
        settings: passes, drop rule, weights.

    Returns:
        For each image, Float "token gh gw": the weighted sum over the passes. A patch adds nothing once it is dropped.
    """
    weights = settings.pass_weights
    maps = look(kept)
    totals = [weights[0] * m * k for m, k in zip(maps, kept, strict=True)]
    for weight in weights[1:]:
        kept = torch.stack([_drop(rank(i, m), kept[i], settings.drop) for i, m in enumerate(maps)])
        maps = look(kept)
        totals = [total + weight * m * k for total, m, k in zip(totals, maps, kept, strict=True)]
    return totals


def _drop(saliency: Float[Tensor, "gh gw"], kept: Bool[Tensor, "gh gw"], drop: int | float) -> Bool[Tensor, "gh gw"]:
    """Remove the most salient of the kept patches; at least one stays, or there would be nothing to look at."""
    remaining = int(kept.sum())
    count = drop if isinstance(drop, int) else max(1, round(drop * remaining))
    salient = saliency.masked_fill(~kept, -torch.inf).flatten().topk(min(count, remaining - 1)).indices
    return kept.flatten().index_fill(0, salient, False).view_as(kept)
