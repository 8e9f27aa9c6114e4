"""From token maps to maps of names and words."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["merge_tokens"]


def merge_tokens(maps: Float[Tensor, "token gh gw"], groups: Sequence[Sequence[int]]) -> Float[Tensor, "group gh gw"]:
    """The mean over the tokens of each group (a name with its synonyms, or a word); 0 for a group without tokens."""
    nothing = maps.new_zeros(maps.shape[1:])
    merged = [maps[list(group)].mean(0) if group else nothing for group in groups]
    return torch.stack(merged) if merged else maps.new_zeros(0, *maps.shape[1:])
