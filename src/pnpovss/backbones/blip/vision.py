"""BLIP's image side: the checkpoint's own modules, driven without a graph and with fused attention.

transformers' own forward of BLIP keeps the attention of every layer in memory; this one never forms it.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers.models.blip.modeling_blip import BlipVisionModel

from pnpovss.backbones.parts.pixels import check_pixels

__all__ = ["VisionSide"]


class VisionSide:
    """A vision transformer, in evaluation mode.

    With `dtype` bfloat16 the linear layers of its blocks are converted; the residual stream, the layer norms, the patch
    embedding and, on a CPU, attention stay float32.

    Attributes:
        dtype: of the linear layers.
        patch: pixels along one side of a patch.
    """

    def __init__(self, model: BlipVisionModel, dtype: torch.dtype = torch.float32) -> None:
        """Take over the modules of `model`; converts its linear layers in place."""
        self.dtype = dtype
        self._model: Any = model
        self.patch = int(self._model.embeddings.patch_size)
        for block in self._model.encoder.layers:
            for linear in (block.self_attn.qkv, block.self_attn.projection, block.mlp.fc1, block.mlp.fc2):
                linear.to(dtype)

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
        for block in self._model.encoder.layers:
            hidden = hidden + self._attention(block.self_attn, block.layer_norm1(hidden))
            hidden = hidden + self._mlp(block.mlp, block.layer_norm2(hidden))
        return self._model.post_layernorm(hidden)

    def _attention(self, module: Any, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        qkv = module.qkv(hidden.to(self.dtype))
        if qkv.device.type == "cpu":
            qkv = qkv.float()  # on a CPU fused attention is fastest, and exact, in float32
        query, key, value = qkv.unflatten(-1, (3, module.num_heads, -1)).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(query, key, value)
        return module.projection(context.transpose(1, 2).flatten(2).to(self.dtype))

    def _mlp(self, module: Any, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return module.fc2(module.activation_fn(module.fc1(hidden.to(self.dtype))))
