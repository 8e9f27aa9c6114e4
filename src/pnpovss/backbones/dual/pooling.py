"""Where a photo's vector is pooled from its patches: the attention that is read of towers without text.

A tower is run up to what can be read (`encode`), and on from there (`pool`).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.parts.capture import Seen, attend

__all__ = ["ClassToken", "FirstOfTwo", "Probe", "Tower"]

READABLE = 4
"""How many of CLIP's last layers can be read: what goes into each of them is kept with the encoded photo."""


class ClassToken:
    """CLIP and MetaCLIP 2: a class token that attends to the patches in each layer; the model's own modules run.

    The last layer's lines are written out, since only its class token is read: that saves most of its forward, and of
    the backward, which each name has of its own.

    Attributes:
        heads: the number of heads of each layer that can be read.
        prefix: how many of its tokens come before the patches.
    """

    prefix = 1

    def __init__(self, model: Any) -> None:
        """Take over the modules of a `CLIPModel` or `MetaClip2Model` that was loaded with `CAPTURE`."""
        self._model, self._vision = model, model.vision_model
        self._layers = list(self._blocks())
        self._first = max(0, len(self._layers) - READABLE)
        heads = int(model.config.vision_config.num_attention_heads)
        self.heads = dict.fromkeys(range(self._first, len(self._layers)), heads)

    def modules(self, layers: tuple[int, ...]) -> list[Any]:
        """The modules whose attention these layers have."""
        return [self._layers[layer].self_attn for layer in layers]

    def encode(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b layer n d"]:
        """What goes into each layer that can be read."""
        hidden = self._enter(pixels)
        kept = []
        for index, layer in enumerate(self._layers):
            if index >= self._first:
                kept.append(hidden)
            if index + 1 < len(self._layers):
                hidden = layer(hidden, None)
        return torch.stack(kept, 1)

    def pool(
        self, hidden: Float[Tensor, "b layer n d"], layers: tuple[int, ...], seen: Seen | None
    ) -> Float[Tensor, "b e"]:
        """The photos' vectors, from the lowest layer that is read onwards, or the last; `seen` reads, if anything."""
        lowest = min(layers, default=len(self._layers) - 1)
        state = hidden[:, lowest - self._first]
        for layer in self._layers[lowest:-1]:
            state = layer(state, None)
        return self._leave(self._last(state))

    def end_at(self, hidden: Float[Tensor, "b layer n d"], layer: int, seen: Seen) -> Float[Tensor, "b e"]:
        """The photos' vectors as if the tower ended with this layer, the mean of its tokens standing for them."""
        return self._leave(self._layers[layer](hidden[:, layer - self._first], None).mean(1))

    def _blocks(self) -> Any:
        return self._vision.encoder.layers

    def _last(self, state: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """The class token after the last layer, whose other tokens nothing reads."""
        layer, token = self._layers[-1], state[:, :1]
        token = token + layer.self_attn.out_proj(_look(layer.self_attn, layer.layer_norm1(state)))
        return (token + layer.mlp(layer.layer_norm2(token)))[:, 0]

    def _enter(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n d"]:
        return self._vision.pre_layrnorm(self._vision.embeddings(pixels, interpolate_pos_encoding=True))

    def _leave(self, token: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        return self._model.visual_projection(self._vision.post_layernorm(token))


class FirstOfTwo(ClassToken):
    """TIPSv2: two class tokens, of which the first, taught by texts of the web, is compared with texts.

    It was trained on pixels in [0, 1]; it is given normalised ones like all others, of mean and deviation 0.5, so that
    a patch that is blanked is grey.
    """

    def __init__(self, model: Any) -> None:
        """Take over the modules of a `Tipsv2Model` that was loaded with `CAPTURE`."""
        super().__init__(model)
        self.prefix = 1 + int(model.config.vision_config.num_register_tokens)

    def modules(self, layers: tuple[int, ...]) -> list[Any]:
        """The modules whose attention these layers have."""
        return [self._layers[layer].attention for layer in layers]

    def _blocks(self) -> Any:
        return self._vision.encoder.layer

    def _last(self, state: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """The class token after the last layer, whose other tokens nothing reads."""
        layer, token = self._layers[-1], state[:, :1]
        token = token + layer.layer_scale1(layer.attention.o_proj(_look(layer.attention, layer.norm1(state))))
        return (token + layer.layer_scale2(layer.mlp(layer.norm2(token))))[:, 0]

    def _enter(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n d"]:
        return self._vision.embeddings(pixels * 0.5 + 0.5)

    def _leave(self, token: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        return self._vision.layernorm(token)


def _look(attention: Any, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b 1 e"]:
    """What the first token's heads see, side by side: the module's own lines, for one query."""
    query, key, value = (
        linear(of).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for linear, of in ((attention.q_proj, tokens[:, :1]), (attention.k_proj, tokens), (attention.v_proj, tokens))
    )
    return attend(attention, query, key, value, None)[0].flatten(2)


class Probe:
    """SigLIP: a learned query that attends to the patches once, in a head above the layers, counted as one more.

    The head is an `nn.MultiheadAttention`, which calls no attention function: its lines are written out here.

    Attributes:
        heads: those of the pooling head, by the number of layers below it.
        prefix: how many of its tokens come before the patches.
    """

    prefix = 0

    def __init__(self, model: Any) -> None:
        """Take over the modules of a `SiglipModel`."""
        self._vision, self._head = model.vision_model, model.vision_model.head
        self._layer = int(model.config.vision_config.num_hidden_layers)
        self.heads = {self._layer: int(self._head.attention.num_heads)}

    def modules(self, layers: tuple[int, ...]) -> list[Any]:
        """The modules whose attention these layers have."""
        return [self._head.attention for _ in layers]

    def encode(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b layer n d"]:
        """What goes into each layer that can be read."""
        hidden = self._vision.embeddings(pixels, interpolate_pos_encoding=True)
        for layer in self._vision.encoder.layers:
            hidden = layer(hidden, None)
        return self._vision.post_layernorm(hidden)[:, None]

    def pool(
        self, hidden: Float[Tensor, "b layer n d"], layers: tuple[int, ...], seen: Seen | None
    ) -> Float[Tensor, "b e"]:
        """The photos' vectors, from the lowest layer that is read onwards, or the last; `seen` reads, if anything."""
        attention, tokens = self._head.attention, hidden[:, 0]
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        query, key, value = (
            F.linear(of, weight, bias).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for of, weight, bias in zip((self._head.probe, tokens, tokens), weights, biases, strict=True)
        )
        scores = query @ key.mT * query.shape[-1] ** -0.5  # b head 1 n
        probs = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        if layers and seen is not None:
            probs = seen.take(attention, probs)
        pooled = attention.out_proj((probs.to(value.dtype) @ value).transpose(1, 2).flatten(2))
        return (pooled + self._head.mlp(self._head.layernorm(pooled)))[:, 0]

    def end_at(self, hidden: Float[Tensor, "b layer n d"], layer: int, seen: Seen) -> Float[Tensor, "b e"]:
        """The photos' vectors; the tower ends with this head."""
        return self.pool(hidden, (layer,), seen)


Tower = ClassToken | Probe
