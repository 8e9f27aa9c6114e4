"""The text side: MiniLM with cross-attention in a few layers, laid out as transformers lays out BLIP's text encoder.

Attribute names follow transformers' `BlipTextLayer`, so the code that reads BLIP's attention reads this one's. Two
differences: only the layers named in `CROSS_HEADS` look at the image, and they do so with fewer, wider heads
than those of self-attention, so that one head's map is a good map.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pnpovss.backbones.mini.neck import WIDTH
from pnpovss.backbones.parts.text_side import feed_forward, self_attention

VOCABULARY = 30522
MAX_TOKENS = 128
LAYERS = 6
SELF_HEADS = 12
CROSS_HEADS = {3: 4, 4: 4}
"""Heads of each layer that looks at the image, by 0-based layer index."""
PAD_ID, ENC_ID, CLS_ID, SEP_ID, UNKNOWN_ID = 0, 1, 101, 102, 100
"""ENC_ID is the first of BERT's unused ids; it takes the place of [CLS] where an image is involved, as in BLIP."""

_EPS = 1e-12


class Embeddings(nn.Module):
    """Word and position embeddings, normalised. MiniLM's token type 0 is folded into the positions."""

    def __init__(self) -> None:
        super().__init__()
        # Zeros, since they always come from a checkpoint: to draw random ones that nobody keeps, on the device "meta",
        # torch imports its compiler, which takes a second.
        self.word_embeddings = nn.Embedding.from_pretrained(torch.zeros(VOCABULARY, WIDTH), freeze=False)
        self.position_embeddings = nn.Embedding.from_pretrained(torch.zeros(MAX_TOKENS, WIDTH), freeze=False)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=_EPS)

    def forward(self, ids: Int[Tensor, "p t"]) -> Float[Tensor, "p t d"]:
        """Embed token ids."""
        positions = self.position_embeddings.weight[: ids.shape[1]]
        return self.LayerNorm(self.word_embeddings(ids) + positions)


class _Heads(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.num_attention_heads = heads
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)


class _Output(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=_EPS)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(hidden) + residual)


class Attention(nn.Module):
    """Queries, keys and values, and what is made of the weighted sum."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.self = _Heads(heads)
        self.output = _Output(WIDTH)


class _Intermediate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(WIDTH, 4 * WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.gelu(self.dense(hidden))


class Layer(nn.Module):
    """One layer; `crossattention` is None where it does not look at the image."""

    def __init__(self, cross_heads: int | None) -> None:
        super().__init__()
        self.attention = Attention(SELF_HEADS)
        self.crossattention = Attention(cross_heads) if cross_heads else None
        self.intermediate = _Intermediate()
        self.output = _Output(4 * WIDTH)


class Encoder(nn.Module):
    """The layers, under the name that transformers gives them."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.ModuleList(Layer(CROSS_HEADS.get(index)) for index in range(LAYERS))
        self.layer: Sequence[Layer] = layers  # pyright: ignore[reportAttributeAccessIssue]


class Text(nn.Module):
    """Embeddings and encoder. The image-text pass is in `pnpovss.backbones.parts.text_side`."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Encoder()

    def forward(self, ids: Int[Tensor, "p t"], mask: Bool[Tensor, "p t"]) -> Float[Tensor, "p d"]:
        """A text's embedding without an image, as MiniLM gives it: the mean of its last hidden states."""
        hidden = self.embeddings(ids)
        for layer in self.encoder.layer:
            hidden = feed_forward(layer, self_attention(layer.attention, hidden, mask[:, None, None]))
        return mean_over(hidden, mask)


def mean_over(hidden: Float[Tensor, "p t d"], mask: Bool[Tensor, "p t"]) -> Float[Tensor, "p d"]:
    """Mean of the hidden states of the tokens that count."""
    weight = mask[..., None].to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)
