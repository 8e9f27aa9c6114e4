"""BLIP's image side: the checkpoint's own modules, driven without a graph and with fused attention.

transformers' own forward of BLIP keeps the attention of every layer in memory; this one never forms it.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.models.blip.modeling_blip import BlipVisionModel

from pnpovss.backbones.parts.blocks import FrozenBlock
from pnpovss.backbones.parts.pixels import check_pixels

__all__ = ["VisionSide"]


class VisionSide:
    """A vision transformer, in evaluation mode.

    With `dtype` bfloat16 the linear layers of its blocks are converted; the patch embedding stays float32, and what
    `FrozenBlock` says does.

    Attributes:
        patch: pixels along one side of a patch.
    """

    def __init__(self, model: BlipVisionModel, dtype: torch.dtype = torch.float32) -> None:
        """Take over the modules of `model`; converts its linear layers in place."""
        self._model: Any = model
        self.patch = int(self._model.embeddings.patch_size)
        self._blocks = [_frozen(block, dtype) for block in self._model.encoder.layers]

    @torch.no_grad()
    def __call__(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n d"]:
        """Encode normalised pixels into a class token and H / patch * W / patch patch tokens, float32.

        Position embeddings are interpolated (bicubic) for sizes other than the checkpoint's.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        check_pixels(pixels, self.patch)
        # no_grad, not inference_mode: the text side uses the tokens in a graph.
        hidden = self._model.embeddings(pixels, interpolate_pos_encoding=True)
        for block in self._blocks:
            hidden = block(hidden)
        return self._model.post_layernorm(hidden)


def _frozen(block: Any, dtype: torch.dtype) -> FrozenBlock:
    attention = block.self_attn
    for linear in (attention.qkv, attention.projection, block.mlp):
        linear.to(dtype)
    return FrozenBlock(
        norm=block.layer_norm1,
        qkv=attention.qkv,
        heads=attention.num_heads,
        project=attention.projection,
        perceptron_norm=block.layer_norm2,
        perceptron=block.mlp,
        dtype=dtype,
    )
