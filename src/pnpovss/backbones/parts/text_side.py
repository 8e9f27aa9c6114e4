"""The text side of a BLIP-shaped matching model: match logits, cross-attention and its gradient, nothing else.

It fits every encoder whose layers are laid out as transformers' `BlipTextLayer` (BERT with cross-attention), whatever
the widths; self- and cross-attention may have different numbers of heads, and a layer may have no cross-attention
(`crossattention` missing or None). A backbone builds one `TextSide` and answers with it:

    text = TextSide(embed=model.embeddings, layers=model.encoder.layer, head=model.itm_head, pad_id=0, max_tokens=512)
    text.heads                                                # {layer: heads}
    match_prompts(text, features, prompts, Reading((7,)))     # a `Match`
    encode_text(text, prompts)                                # "p d", without an image, for a contrastive head

Why it is fast and small: only the derivative of the match logit with respect to the attention probabilities of the
layers that are read is wanted. Layers below the lowest of them run without a graph, its probabilities become a leaf,
and no parameter and no image token is ever differentiated. With few text tokens to an image, keys and values are not
formed at all: the key projection is folded into the queries and the value projection follows the weighted sum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pnpovss.backbones.base import Match, Reading, TextTokens, TokenMaps
from pnpovss.backbones.parts.pairing import by_image, checked, flatten, for_graph, last_layer, pad_prompts, token_maps

__all__ = [
    "PatchTokens",
    "SeenTokens",
    "TextSide",
    "attend",
    "cross_attention",
    "encode_text",
    "feed_forward",
    "match_prompts",
    "self_attention",
]


@dataclass(frozen=True, eq=False)
class PatchTokens:
    """Images as the text side sees them; satisfies `ImageFeatures`.

    Attributes:
        tokens: Float "b n d"; `prefix` global tokens (CLS), then gh * gw patches in row-major order.
        grid: (gh, gw), patches down and across.
        prefix: how many leading tokens are no patches.
    """

    tokens: Float[Tensor, "b n d"]
    grid: tuple[int, int]
    prefix: int = 1

    def __len__(self) -> int:
        """How many images."""
        return len(self.tokens)

    def __getitem__(self, images: slice) -> "PatchTokens":
        """Some of the images."""
        return PatchTokens(self.tokens[images], self.grid, self.prefix)

    @classmethod
    def join(cls, parts: "Sequence[PatchTokens]") -> "PatchTokens":
        """Images of one grid, one after the other."""
        return cls(torch.cat([part.tokens for part in parts]), parts[0].grid, parts[0].prefix)


@dataclass(frozen=True)
class TextSide:
    """The modules of a BLIP-shaped text encoder with an image-text-matching head, in evaluation mode.

    Attributes:
        embed: token ids (Int "p t") to Float "p t d": word and position embeddings, normalised.
        layers: each has `attention.self` (`query`, `key`, `value`, `num_attention_heads`), `attention.output`,
            `intermediate`, `output` and, where it looks at the image, `crossattention` built as `attention`.
        head: last hidden state of the first token (Float "p d") to raw logits (Float "p 2": no match, match).
        pad_id: id that shorter prompts of a batch are filled up with; masked everywhere.
        max_tokens: longest text, special tokens included.
    """

    embed: Callable[[Tensor], Tensor]
    layers: Sequence[Any] | nn.ModuleList
    head: Callable[[Tensor], Tensor]
    pad_id: int
    max_tokens: int

    @property
    def heads(self) -> dict[int, int]:
        """Heads of each layer that has cross-attention, by 0-based layer index."""
        cross = {index: getattr(layer, "crossattention", None) for index, layer in enumerate(self.layers)}
        return {index: int(module.self.num_attention_heads) for index, module in cross.items() if module is not None}

    @property
    def gradientless(self) -> tuple[int, ...]:
        """See `Card.gradientless`."""
        return last_layer(self.heads, len(self.layers))


@dataclass(frozen=True)
class SeenTokens:
    """Image tokens, each image looked at by the same number of consecutive prompts.

    Attributes:
        tokens: Float "g n d", prefix tokens included.
        prompts: how many prompts look at each.
    """

    tokens: Float[Tensor, "g n d"]
    prompts: int


def match_prompts(
    text: TextSide,
    features: PatchTokens,
    prompts: Sequence[Sequence[TextTokens]],
    reading: Reading | None = None,
) -> Match:
    """Match prompts with images; see `Backbone.match`.

    With several layers each gradient is the total derivative: what a lower layer's probabilities do to a higher
    layer's is part of it.

    Raises:
        NamesError: a prompt is longer than the encoder reads.
        ConfigError: a layer that has no cross-attention, or layers with different numbers of heads.
        InvalidInputError: no prompts, or lists of prompts for another number of images.
    """
    reading = checked(reading, text.heads)
    flat, owner = flatten(prompts, len(features))
    # Features made under inference_mode cannot enter a graph; a caller's no_grad must not switch ours off.
    with torch.inference_mode(False):
        tokens = for_graph(features.tokens)
        ids, mask = _pad(text, flat, tokens.device)
        logits, probs, grads = _forward(text, ids, mask, _pair(tokens, torch.tensor(owner)), reading)
    return Match(
        logits=by_image(logits[:, 1], prompts),
        probability=by_image(logits.softmax(-1)[:, 1], prompts),
        maps=_maps(probs, grads, features, prompts) if reading.layers else (),
    )


@torch.no_grad()
def encode_text(text: TextSide, prompts: Sequence[TextTokens], device: torch.device | None = None) -> Tensor:
    """Last hidden state of the first token of each prompt, Float "p d", no image involved and no gradient.

    Raises:
        NamesError: a prompt is longer than the encoder reads.
        InvalidInputError: no prompts.
    """
    ids, mask = _pad(text, prompts, device)
    hidden = text.embed(ids)
    for layer in text.layers:
        hidden = feed_forward(layer, self_attention(layer.attention, hidden, mask))
    return hidden[:, 0]


def _forward(
    text: TextSide,
    ids: Int[Tensor, "p t"],
    mask: Bool[Tensor, "p 1 1 t"] | None,
    image: SeenTokens,
    reading: Reading,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits "p 2", and for each layer asked for the probabilities and gradients, "p head t n"."""
    differentiate = reading.gradient and bool(reading.layers)
    lowest = min(reading.layers) if differentiate else len(text.layers)
    read: dict[int, Tensor] = {}
    with torch.no_grad():
        hidden = text.embed(ids)
    for index, layer in enumerate(text.layers):
        kept = read if index in reading.layers else None
        with torch.set_grad_enabled(index >= lowest):
            hidden = _layer(layer, hidden, mask, image, kept, index, leaf=index == lowest)
    with torch.set_grad_enabled(differentiate):
        logits = text.head(hidden[:, 0])
        wanted = [read[index] for index in reading.layers]
        # Pairs do not see each other, so the gradient of the sum is each pair's own.
        grads = list(torch.autograd.grad(logits[:, 1].sum(), wanted)) if differentiate else []
    prompts = len(ids)
    return (
        logits.detach(),
        [_prompt_major(probs.detach(), prompts) for probs in wanted],
        [_prompt_major(grad, prompts) for grad in grads],
    )


def _layer(
    layer: Any,
    hidden: Float[Tensor, "p t d"],
    mask: Bool[Tensor, "p 1 1 t"] | None,
    image: SeenTokens,
    kept: dict[int, Tensor] | None,
    index: int,
    leaf: bool,
) -> Float[Tensor, "p t d"]:
    """One layer; where it looks in the image is forgotten unless it is to be kept: with many names that is much."""
    hidden = self_attention(layer.attention, hidden, mask)
    cross = getattr(layer, "crossattention", None)
    if cross is not None:
        hidden, probs = cross_attention(cross, hidden, image, leaf)
        if kept is not None:
            kept[index] = probs
    return feed_forward(layer, hidden)


def self_attention(
    module: Any, hidden: Float[Tensor, "p t d"], mask: Bool[Tensor, "#p 1 #t t"] | None
) -> Float[Tensor, "p t d"]:
    """The self-attention of a layer, residual and norm included; `mask` tells which tokens count."""
    return attend(module, hidden, hidden, mask)


def attend(
    module: Any, hidden: Float[Tensor, "p t d"], source: Float[Tensor, "#p s e"], mask: Bool[Tensor, "#p 1 #t s"] | None
) -> Float[Tensor, "p t d"]:
    """Attention to `source` that is not read, residual and norm included; `mask` tells which of its tokens count."""
    attention = module.self
    heads = (attention.num_attention_heads, -1)
    query, key, value = (
        linear(tokens).unflatten(-1, heads).transpose(1, 2)
        for linear, tokens in ((attention.query, hidden), (attention.key, source), (attention.value, source))
    )
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return module.output(context.transpose(1, 2).flatten(2), hidden)


def feed_forward(layer: Any, hidden: Float[Tensor, "p t d"]) -> Float[Tensor, "p t d"]:
    """The perceptron of a layer, residual and norm included."""
    return layer.output(layer.intermediate(hidden), hidden)


def cross_attention(
    module: Any, hidden: Float[Tensor, "p t d"], image: SeenTokens, leaf: bool
) -> tuple[Float[Tensor, "p t d"], Float[Tensor, "g head kt n"]]:
    """Attend to the image, residual and norm included, and tell with which probabilities.

    `leaf` cuts the graph at the probabilities, which then require a gradient.
    """
    attention = module.self
    heads, groups = attention.num_attention_heads, len(image.tokens)
    query = attention.query(hidden)
    query = query.reshape(groups, -1, heads, query.shape[-1] // heads).transpose(1, 2)
    query = query * query.shape[-1] ** -0.5
    # Folding costs d products for each text token, head and patch; keys and values cost d * head_dim for each head and
    # patch once and head_dim for each token after that. The two meet at about head_dim text tokens to an image.
    attend = _folded if query.shape[2] <= query.shape[3] else _formed
    scores, weigh = attend(attention, query, image.tokens)
    probs = scores.softmax(-1)
    if leaf:
        probs = probs.detach().requires_grad_()
    context = weigh(probs).transpose(1, 2).reshape(*hidden.shape[:2], -1)
    return module.output(context, hidden), probs


def _folded(
    attention: Any, query: Float[Tensor, "g head kt e"], tokens: Float[Tensor, "g n d"]
) -> tuple[Float[Tensor, "g head kt n"], Callable[[Tensor], Tensor]]:
    """Scores and weighted sum without keys and values.

    The key's bias adds the same to the scores of all patches, which the softmax ignores. The value's bias does not
    vanish: the probabilities sum to one, yet each of them carries it in its gradient.
    """
    heads = query.shape[1]
    key, value = (linear.weight.unflatten(0, (heads, -1)) for linear in (attention.key, attention.value))
    scores = torch.einsum("ghqd,gnd->ghqn", torch.einsum("ghqe,hed->ghqd", query, key), tokens)

    def weigh(probs: Tensor) -> Tensor:
        context = torch.einsum("ghqd,hed->ghqe", torch.einsum("ghqn,gnd->ghqd", probs, tokens), value)
        return context + probs.sum(-1, keepdim=True) * attention.value.bias.view(heads, 1, -1)

    return scores, weigh


def _formed(
    attention: Any, query: Float[Tensor, "g head kt e"], tokens: Float[Tensor, "g n d"]
) -> tuple[Float[Tensor, "g head kt n"], Callable[[Tensor], Tensor]]:
    """Scores and weighted sum through keys and values, shared by all prompts of an image."""
    heads = (query.shape[1], -1)
    key, value = (linear(tokens).unflatten(-1, heads) for linear in (attention.key, attention.value))
    scores = torch.einsum("ghqe,gnhe->ghqn", query, key)
    return scores, lambda probs: torch.einsum("ghqn,gnhe->ghqe", probs, value)


def _prompt_major(maps: Float[Tensor, "g head kt n"], prompts: int) -> Float[Tensor, "p head t n"]:
    """Maps of grouped prompts as one map a prompt."""
    groups, heads, _, patches = maps.shape
    return maps.reshape(groups, heads, prompts // groups, -1, patches).transpose(1, 2).flatten(0, 1)


def _maps(
    probs: list[Tensor], grads: list[Tensor], features: PatchTokens, prompts: Sequence[Sequence[TextTokens]]
) -> tuple[TokenMaps, ...]:
    """Stack the layers' maps ("p head t n"), drop the prefix tokens, unfold the grid, go back to images."""
    attention, gradient = (
        torch.stack(maps, 1)[..., features.prefix :].unflatten(-1, features.grid) if maps else None
        for maps in (probs, grads)
    )
    assert attention is not None
    return token_maps(attention, gradient, prompts)


def _pad(
    text: TextSide, prompts: Sequence[TextTokens], device: torch.device | None
) -> tuple[Int[Tensor, "p t"], Bool[Tensor, "p 1 1 t"] | None]:
    """Ids filled up to the longest prompt, and which of them are real (None where all are)."""
    ids, real = pad_prompts(prompts, text.pad_id, text.max_tokens, device)
    return ids, None if bool(real.all()) else real[:, None, None, :]


def _pair(tokens: Float[Tensor, "b n d"], index: Int[Tensor, " p"]) -> SeenTokens:
    """Lay images out along the prompts, without copying where each image in turn has equally many of them."""
    images, counts = torch.unique_consecutive(index, return_counts=True)
    prompts = int(counts[0]) if bool((counts == counts[0]).all()) else 1
    order = images if prompts > 1 else index
    if torch.equal(order, torch.arange(len(tokens))):
        return SeenTokens(tokens, prompts)
    return SeenTokens(tokens.index_select(0, order.to(tokens.device)), prompts)
