"""GradCAM on text-to-image attention (paper section 3.2)."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["gradcam"]


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
