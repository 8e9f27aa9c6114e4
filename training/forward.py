"""The image-text pass as training needs it: all scores of the cross-attention stay in the graph.

`pnpovss.backbones.cross_attention` is the same pass for inference; a test holds the two together.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.mini.lite2 import MID_CHANNELS, Block
from pnpovss.backbones.mini.model import Mini
from pnpovss.backbones.mini.neck import semantic_tokens
from pnpovss.backbones.mini.text import Attention, Text
from pnpovss.backbones.parts.text_side import feed_forward, self_attention


@dataclass
class Looked:
    """What the text side made of the image.

    Attributes:
        hidden: last hidden states, "p t d".
        scores: for each layer that looks, attention scores before the softmax, "p head t n", global token first.
        probs: their softmax.
        raw: the same as they stand in the graph, "b head k*t n": differentiate with respect to these, see `by_prompt`.
    """

    hidden: Tensor
    scores: dict[int, Tensor]
    probs: dict[int, Tensor]
    raw: dict[int, Tensor]


def last_blocks(model: Mini) -> list[Block]:
    """The trunk's blocks behind its middle features."""
    return [block for block in model.trunk.blocks[model.trunk.mid_block + 1 :] if isinstance(block, Block)]


def from_middle(model: Mini, features: Float[Tensor, "b n 600"]) -> Float[Tensor, "b n 600"]:
    """The same features with top and semantic ones made anew from the middle ones by the model's own last blocks.

    No gradient flows through the semantic ones: the classifier they come from stays as it is.
    """
    side = round(features.shape[1] ** 0.5)
    mid = features[..., :MID_CHANNELS]
    top = mid.mT.unflatten(2, (side, side)).contiguous(memory_format=torch.channels_last)
    for block in last_blocks(model):
        top = _through(block, top)
    top = top.flatten(2).mT
    with torch.no_grad():
        words = semantic_tokens(model.trunk.dense_logits(top), model.class_embeddings)
    return torch.cat([mid, top, words.to(mid.dtype)], -1)


def _through(block: Block, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
    """What the block does; its depthwise filters are never trained, which makes the backward pass cheap."""
    hidden = x if block.expand is None else F.relu6(block.expand(x), inplace=True)
    depthwise = block.depthwise
    filtered = _FixedDepthwise.apply(hidden, depthwise.weight, depthwise.bias, depthwise.dilation[0])
    hidden = block.project(F.relu6(filtered, inplace=True))
    return hidden + x if block.residual else hidden


class _FixedDepthwise(torch.autograd.Function):
    """A depthwise convolution of stride one that nobody trains, padded so that its size stays.

    Its gradient is a convolution with the filters turned round, which CPUs do eight times faster than the general one.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.dilation = dilation
        return _filter(x, weight, bias, dilation)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (weight,) = ctx.saved_tensors
        return _filter(gradient, weight.flip(2, 3).to(gradient.dtype), None, ctx.dilation), None, None, None


def _filter(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    return F.conv2d(
        x, weight, bias, padding=dilation * (weight.shape[-1] - 1) // 2, dilation=dilation, groups=len(weight)
    )


def by_prompt(maps: Float[Tensor, "b head kt n"], prompts: int) -> Float[Tensor, "p head t n"]:
    """Maps of the prompts of each image side by side as one map a prompt."""
    return maps.unflatten(2, (prompts // len(maps), -1)).transpose(1, 2).flatten(0, 1)


def look(
    text: Text,
    tokens: Float[Tensor, "b n d"],
    ids: Int[Tensor, "p t"],
    mask: Bool[Tensor, "p t"],
    *,
    frozen_layers: int = 0,
    silence: dict[int, Float[Tensor, "p head t"]] | None = None,
) -> Looked:
    """Run p prompts, p / b in a row for each image.

    Args:
        text: the text side.
        tokens: image tokens.
        ids: token ids.
        mask: tokens that count.
        frozen_layers: how many layers, from the bottom, run without a graph.
        silence: for a layer, a factor on what each head brings each token (0: it learns nothing from the image there).
    """
    scores: dict[int, Tensor] = {}
    raw: dict[int, Tensor] = {}
    counts = mask[:, None, None]
    with torch.no_grad():
        hidden = text.embeddings(ids)
        for layer in text.encoder.layer[:frozen_layers]:
            hidden = feed_forward(layer, self_attention(layer.attention, hidden, counts))
    for index, layer in enumerate(text.encoder.layer):
        if index < frozen_layers:
            continue
        hidden = self_attention(layer.attention, hidden, counts)
        if layer.crossattention is not None:
            factor = (silence or {}).get(index)
            hidden, scores[index], raw[index] = _cross(layer.crossattention, hidden, tokens, factor)
        hidden = feed_forward(layer, hidden)
    probs = {index: by_prompt(maps, len(ids)) for index, maps in raw.items()}
    return Looked(hidden, scores, probs, raw)


def _cross(module: Attention, hidden: Tensor, tokens: Tensor, factor: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    attention, images = module.self, len(tokens)
    heads = (attention.num_attention_heads, -1)
    prompts, length, _ = hidden.shape
    # (b, head, prompts of one image * t, width of a head)
    query = attention.query(hidden).reshape(images, -1, hidden.shape[-1]).unflatten(-1, heads).transpose(1, 2)
    key, value = (linear(tokens).unflatten(-1, heads).transpose(1, 2) for linear in (attention.key, attention.value))
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    probs = scores.softmax(-1)
    context = (probs @ value).transpose(1, 2).reshape(prompts, length, *heads[:1], -1)
    if factor is not None:
        context = context * factor.transpose(1, 2)[..., None].to(context.dtype)

    return module.output(context.flatten(2), hidden), by_prompt(scores, prompts), probs


def mean_of_slots(
    values: Float[Tensor, "p t *rest"], slot_of: Int[Tensor, "p t"], slots: int
) -> Float[Tensor, "p slot *rest"]:
    """Mean over the tokens of each name; zeros for a slot without tokens."""
    member = (slot_of[:, None] == torch.arange(slots, device=slot_of.device)[:, None]).to(values.dtype)
    member = member / member.sum(-1, keepdim=True).clamp_min(1)
    return (member @ values.flatten(2)).unflatten(-1, values.shape[2:])
