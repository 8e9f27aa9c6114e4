"""From the trunk's features to the image tokens that the text side attends to."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pnpovss.backbones.mini.lite2 import MID_CHANNELS, TOP_CHANNELS

WIDTH = 384
SEMANTIC_WIDTH = 128
"""Numbers a semantic token has: the leading directions of the embeddings of the 1,000 class names."""

_POSITION_WIDTH = 4
IN_WIDTH = MID_CHANNELS + TOP_CHANNELS + SEMANTIC_WIDTH


def semantic_tokens(
    logits: Float[Tensor, "b n class"], class_embeddings: Float[Tensor, "class s"]
) -> Float[Tensor, "b n s"]:
    """What each position shows, in the space of words: class probabilities times class name embeddings."""
    return logits.float().softmax(-1) @ class_embeddings


def _positions(grid: tuple[int, int], like: Tensor) -> Float[Tensor, "n 4"]:
    """Where each token lies, x and y in [-1, 1] and their squares, so that the frame's rim can be told."""
    y, x = (torch.linspace(-1 + 1 / size, 1 - 1 / size, size, device=like.device, dtype=like.dtype) for size in grid)
    yx = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1)
    return torch.cat([yx, yx**2], -1)


class _Block(nn.Module):
    """Look around (a 5 x 5 depthwise convolution and the mean of all tokens), then mix channels."""

    def __init__(self) -> None:
        super().__init__()
        self.around = nn.Conv2d(WIDTH, WIDTH, 5, padding=2, groups=WIDTH)
        self.everywhere = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, 2 * WIDTH)
        self.narrow = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Float[Tensor, "b n d"], grid: tuple[int, int]) -> Float[Tensor, "b n d"]:
        local = self.around(x.mT.unflatten(2, grid)).flatten(2).mT
        mixed = self.norm(local + self.everywhere(x.mean(1, keepdim=True)))
        return x + self.narrow(F.gelu(self.widen(mixed)))


class Neck(nn.Module):
    """Joins middle, top and semantic features into tokens with some spatial context, one global token in front."""

    offset: Tensor
    scale: Tensor

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(IN_WIDTH))
        self.register_buffer("scale", torch.ones(IN_WIDTH))
        self.project = nn.Linear(IN_WIDTH + _POSITION_WIDTH, WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(blocks))
        self.prefix = nn.Linear(IN_WIDTH + WIDTH, WIDTH)

    def forward(self, features: Float[Tensor, "b n 600"], grid: tuple[int, int]) -> Float[Tensor, "b n+1 384"]:
        """Image tokens: the global one, then the patches in row-major order.

        Args:
            features: middle, top and semantic features of each position, side by side.
            grid: patches down and across.
        """
        normed = (features - self.offset) * self.scale
        place = _positions(grid, normed).expand(len(normed), -1, -1)
        tokens = self.project(torch.cat([normed, place], -1))
        for block in self.blocks:
            tokens = block(tokens, grid)
        whole = self.prefix(torch.cat([normed.mean(1), tokens.mean(1)], -1))
        return torch.cat([whole[:, None], tokens], 1)
