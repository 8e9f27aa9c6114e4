"""GradCAM on cross-attention (paper section 3.2)."""

from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import CrossAttention

__all__ = ["attention_map"]


def attention_map(attention: CrossAttention, layer: int, head: int) -> Float[Tensor, "p token gh gw"]:
    """The map of each token, from one head of one layer: max(0, dL/dM) * M, L the match logit.

    Without gradients (GradCAM off) it is the attention M itself.

    Args:
        attention: as a backbone's `match` returns it.
        layer: 0-based text layer, one of `attention.layers`.
        head: 0-based head.

    Returns:
        Non-negative maps, float32.
    """
    at = attention.layers.index(layer)
    probs = attention.probs[:, at, head].float()
    if attention.grads is None:
        return probs
    return attention.grads[:, at, head].float().clamp(min=0) * probs
