"""The image-text pass as training needs it: all scores of the cross-attention stay in the graph.

`pnpovss.backbones.cross_attention` is the same pass for inference; a test holds the two together.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.mini.lite2 import MID_CHANNELS, Block
from pnpovss.backbones.mini.model import Mini
from pnpovss.backbones.mini.neck import semantic_tokens
from pnpovss.backbones.mini.text import Attention, Text
from pnpovss.backbones.parts.text_side import feed_forward, self_attention


@dataclass(frozen=True)
class Rows:
    """The tokens that count of each image's prompts, one after another in one row of `l` places.

    Half of what prompts hold when they are padded to the longest is padding; in a row of an image's prompts there is
    little.

    Attributes:
        source: which of the image's k * t tokens stands at each place, "b l".
        prompt: of which of its k prompts it is, "b l"; -1 where a row is over.
        prompts: k.
        first: places of the prompts' first tokens, "b k".
    """

    source: Int[Tensor, "b l"]
    prompt: Int[Tensor, "b l"]
    prompts: int
    first: Int[Tensor, "b k"]

    @classmethod
    def of(cls, mask: Bool[Tensor, "p t"], images: int) -> "Rows":
        """Of p prompts, p / images in a row for each image; `mask` tells which tokens count."""
        prompts, length = len(mask) // images, mask.shape[1]
        counts = mask.reshape(images, prompts * length)
        # Those that count come first, in their order.
        source = (~counts).int().argsort(dim=1, stable=True)[:, : int(counts.sum(1).max())]
        prompt = torch.where(counts.gather(1, source), source // length, -1)
        sizes = mask.sum(1).view(images, prompts)
        return cls(source, prompt, prompts, sizes.cumsum(1) - sizes)

    @property
    def same_prompt(self) -> Bool[Tensor, "b 1 l l"]:
        """Which tokens may attend to which."""
        return (self.prompt[:, :, None] == self.prompt[:, None])[:, None]

    def put(self, values: Shaped[Tensor, "p t *rest"]) -> Shaped[Tensor, "b l *rest"]:
        """What belongs to each token of padded prompts, place by place."""
        images = len(self.source)
        image = torch.arange(images, device=values.device)[:, None]
        return values.reshape(images, -1, *values.shape[2:])[image, self.source]

    def first_of(self, values: Float[Tensor, "b l d"]) -> Float[Tensor, "p d"]:
        """What belongs to each prompt's first token."""
        image = torch.arange(len(values), device=values.device)[:, None]
        return values[image, self.first].flatten(0, 1)

    def mean_of_slots(
        self, values: Float[Tensor, "b l d"], slot_of: Int[Tensor, "p t"], slots: int
    ) -> Float[Tensor, "p slot d"]:
        """Mean over the tokens of each name of each prompt; zeros for a slot without tokens."""
        slot = self.put(slot_of)
        wanted = torch.where((slot >= 0) & (self.prompt >= 0), self.prompt * slots + slot, -1)
        every = torch.arange(self.prompts * slots, device=values.device)
        member = (wanted[:, None] == every[:, None]).to(values.dtype)
        member = member / member.sum(-1, keepdim=True).clamp_min(1)
        return (member @ values).unflatten(1, (self.prompts, slots)).flatten(0, 1)


@dataclass(frozen=True)
class Looked:
    """What the text side made of the image, in rows of tokens.

    Attributes:
        rows: which token stands where.
        hidden: last hidden states, "b l d".
        scores: for each layer that looks, attention scores before the softmax, "b head l n", global token first.
        probs: their softmax, as it stands in the graph: one may differentiate with respect to it.
    """

    rows: Rows
    hidden: Tensor
    scores: dict[int, Tensor]
    probs: dict[int, Tensor]


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
    rows = Rows.of(mask, len(tokens))
    scores: dict[int, Tensor] = {}
    probs: dict[int, Tensor] = {}
    same = rows.same_prompt
    with torch.no_grad():
        hidden = rows.put(text.embeddings(ids))
        for layer in text.encoder.layer[:frozen_layers]:
            hidden = feed_forward(layer, self_attention(layer.attention, hidden, same))
    for index, layer in enumerate(text.encoder.layer):
        if index < frozen_layers:
            continue
        hidden = self_attention(layer.attention, hidden, same)
        if layer.crossattention is not None:
            factor = (silence or {}).get(index)
            factor = None if factor is None else rows.put(factor.transpose(1, 2))
            hidden, scores[index], probs[index] = _cross(layer.crossattention, hidden, tokens, factor)
        hidden = feed_forward(layer, hidden)
    return Looked(rows, hidden, scores, probs)


def _cross(
    module: Attention, hidden: Float[Tensor, "b l d"], tokens: Float[Tensor, "b n d"], factor: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    attention = module.self
    heads = (attention.num_attention_heads, -1)
    query, key, value = (
        linear(states).unflatten(-1, heads).transpose(1, 2)
        for linear, states in ((attention.query, hidden), (attention.key, tokens), (attention.value, tokens))
    )
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    probs = scores.softmax(-1)
    context = (probs @ value).transpose(1, 2)
    if factor is not None:
        context = context * factor[..., None].to(context.dtype)
    return module.output(context.flatten(2), hidden), scores, probs
