"""A block of a vision transformer without a graph: its own modules, with attention that is never formed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["FrozenBlock"]

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class FrozenBlock:
    """A block that normalises first, by what it is made of, in evaluation mode.

    Its linear layers compute in `dtype`; the residual stream, the layer norms and, on a CPU, attention stay float32.

    Attributes:
        norm: of what attends.
        qkv: Float "b n d" to queries, keys and values in a row, "b n 3d".
        heads: of its attention.
        project: what attention gathers to what is added, "b n d" both.
        perceptron_norm: of what enters the perceptron.
        perceptron: "b n d" to what is added.
        dtype: of the linear layers.
    """

    norm: Step
    qkv: Step
    heads: int
    project: Step
    perceptron_norm: Step
    perceptron: Step
    dtype: torch.dtype

    @torch.no_grad()
    def __call__(self, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """The next hidden state."""
        hidden = hidden + self.project(self._attend(self.qkv(self.norm(hidden).to(self.dtype))).to(self.dtype))
        return hidden + self.perceptron(self.perceptron_norm(hidden).to(self.dtype))

    def _attend(self, qkv: Float[Tensor, "b n qkv"]) -> Float[Tensor, "b n d"]:
        if qkv.device.type == "cpu":
            qkv = qkv.float()  # on a CPU fused attention is fastest, and exact, in float32
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
