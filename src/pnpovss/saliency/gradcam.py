"""GradCAM on text-to-image attention (paper section 3.2)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import TokenMaps

__all__ = ["gradcam", "sum_heads"]


def gradcam(
    attention: Float[Tensor, "*head token gh gw"], gradient: Float[Tensor, "*head token gh gw"] | None
) -> Float[Tensor, "*head token gh gw"]:
    """The map of each token: max(0, dL/dM) * M, L the match logit.

    Args:
        attention: M, in [0, 1].
        gradient: dL/dM; None turns GradCAM off, and the map is the attention itself.

    Returns:
        Non-negative maps, float32.
    """
    if gradient is None:
        return attention.float()
    return gradient.float().clamp(min=0) * attention.float()


def sum_heads(seen: TokenMaps, heads: Sequence[tuple[int, int]]) -> Float[Tensor, "token gh gw"]:
    """The sum of the maps of some heads; raw, so that a head counts by how much the match rests on it.

    Args:
        seen: the tokens of one image.
        heads: row of the layer and number of the head; at least one, each once.
    """
    rows, numbers = (list(each) for each in zip(*heads, strict=True))
    if seen.composed is not None:
        return seen.composed[rows, numbers].float().sum(0)
    return gradcam(seen.attention[rows, numbers], None if seen.gradient is None else seen.gradient[rows, numbers]).sum(
        0
    )
