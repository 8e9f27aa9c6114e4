"""What ViLT and FLAVA put in a row, and what they read from it: all that differs between them.

Their layers are alike, and call no attention function of transformers: their lines are written again in `run`.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.parts.capture import Seen

__all__ = ["FlavaStream", "Stream", "ViltStream", "run"]


@runtime_checkable
class Stream(Protocol):
    """A model of one row.

    Attributes:
        layers: through which the row goes.
        read: how many of them can be read, from the lowest.
        text_first: whether text stands before the image.
        prefix: how many image tokens come before the patches.
        patch: pixels along one side of a patch.
        side: of the square that is shown by default [px].
        max_tokens: longest text, special tokens included.
        vocabulary: how many tokens the model embeds.
        ranks: whether the match is a score that ranks texts, no pair of logits.
    """

    layers: Any
    read: int
    text_first: bool
    prefix: int
    patch: int
    side: int
    max_tokens: int
    vocabulary: int
    ranks: bool

    def see(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n d"]:
        """The image's part of the row."""
        ...

    def speak(self, ids: Int[Tensor, "p t"], real: Bool[Tensor, "p t"]) -> Float[Tensor, "p t d"]:
        """The text's part of the row."""
        ...

    def judge(self, row: Float[Tensor, "p m d"]) -> Float[Tensor, "p k"]:
        """What comes out of the layers, as a score, or as logits of no match and match."""
        ...


class ViltStream:
    """ViLT (arXiv 2102.03334): words and patches meet unprocessed, so an image costs the whole model for each prompt.

    The model's own `visual_embed` shuffles the patches at random, also when it is not trained; here they stay in rows.
    Of more than `max_image_length` patches, where a config sets it, that draws some; here all are seen.
    """

    text_first, prefix, ranks = True, 1, True

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        """Take over a `ViltForImageAndTextRetrieval`; its patch embedding is converted."""
        config, self._model = model.config, model.vilt
        self._head, self._embed = model.rank_output, model.vilt.embeddings
        self._embed.patch_embeddings.to(dtype)
        self.layers, self.read = model.vilt.encoder.layer, len(model.vilt.encoder.layer)
        self.patch, self.side = int(config.patch_size), int(config.image_size)
        self.max_tokens, self.vocabulary = int(config.max_position_embeddings), int(config.vocab_size)

    def see(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n d"]:
        """A class token and the patches, positions interpolated as ViLT does it (bilinear, corners aligned)."""
        places = self._embed.position_embeddings
        grid = self._embed.patch_embeddings(pixels).to(places.dtype)  # b d gh gw
        known = places[:, 1:].transpose(1, 2).unflatten(2, (self.side // self.patch, -1))
        grid = grid + F.interpolate(known, grid.shape[2:], mode="bilinear", align_corners=True)
        start = (self._embed.cls_token + places[:, :1]).expand(len(pixels), -1, -1)
        return torch.cat([start, grid.flatten(2).transpose(1, 2)], 1) + self._embed.token_type_embeddings.weight[1]

    def speak(self, ids: Int[Tensor, "p t"], real: Bool[Tensor, "p t"]) -> Float[Tensor, "p t d"]:
        """Embedded words."""
        return self._embed.text_embeddings(input_ids=ids) + self._embed.token_type_embeddings.weight[0]

    def judge(self, row: Float[Tensor, "p m d"]) -> Float[Tensor, "p 1"]:
        """One score, read from the text's class token."""
        return self._head(self._model.pooler(self._model.layernorm(row)))


class FlavaStream:
    """FLAVA (arXiv 2112.04482): two towers, which run once, and layers above them in which their tokens meet.

    The match is read from a class token of those layers: in the last of them no word's attention moves it, so that one
    cannot be read. The matching head was trained on texts some of whose words were left out; what it says of whole
    ones is a little beside its training.
    """

    text_first, prefix, ranks = False, 2, False

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        """Take over a `FlavaForPreTraining`; its image tower is converted."""
        config, self._model = model.config, model.flava
        self._head, self._fusing = model.itm_head, model.flava.multimodal_model
        self._model.image_model.to(dtype)
        self.layers = self._fusing.encoder.layer
        self.read = len(self.layers) - 1
        self.patch, self.side = int(config.image_config.patch_size), int(config.image_config.image_size)
        self.max_tokens, self.vocabulary = (
            int(config.text_config.max_position_embeddings),
            int(config.text_config.vocab_size),
        )

    def see(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n d"]:
        """The fusing layers' class token, the image's, the patches."""
        states = self._model.image_model(pixels, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
        image = self._model.image_to_mm_projection(states[-1].to(self._model.image_to_mm_projection.weight.dtype))
        return torch.cat([self._fusing.cls_token.expand(len(image), -1, -1), image], 1)

    def speak(self, ids: Int[Tensor, "p t"], real: Bool[Tensor, "p t"]) -> Float[Tensor, "p t d"]:
        """What the text tower makes of the words."""
        states = self._model.text_model(ids, attention_mask=real.long(), output_hidden_states=True).hidden_states
        return self._model.text_to_mm_projection(states[-1])

    def judge(self, row: Float[Tensor, "p m d"]) -> Float[Tensor, "p 2"]:
        """Logits of no match and match, read from the fusing layers' class token."""
        return self._head(self._fusing.layernorm(row))


def run(layers: Any, row: Float[Tensor, "p m d"], real: Bool[Tensor, "p m"], seen: Seen) -> Float[Tensor, "p m d"]:
    """A row through layers that transformers lays out as those of a ViT; `real` tells which tokens count."""
    mask = real[:, None, None]
    for layer in layers:
        attention = layer.attention.attention
        heads = (attention.num_attention_heads, -1)
        normed = layer.layernorm_before(row)
        query, key, value = (
            linear(normed).unflatten(-1, heads).transpose(1, 2)
            for linear in (attention.query, attention.key, attention.value)
        )
        if attention in seen.modules:
            scores = query @ key.mT * query.shape[-1] ** -0.5
            context = seen.take(attention, scores.masked_fill(~mask, -torch.inf).softmax(-1)) @ value
        else:
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        row = layer.attention.output(context.transpose(1, 2).flatten(2), normed) + row
        row = layer.output(layer.intermediate(layer.layernorm_after(row)), row)
    return row
