"""BLIP-2 image-text matching (arXiv 2301.12597) through transformers: any hub id or folder, any image size.

Text and patches never meet. In the Q-Former, 32 queries look at the patches (in every other layer) and read the text
(in every layer), and the match is read from the queries: the mean of what the head makes of each. So a map goes
through them. C is where queries look, S what they read, both of one layer; g are gradients of the match logit, of one
backward pass.

- One name per prompt (`read` = "answer", recommended): the map of the prompt is sum over queries of max(0, g_C) * C. It
  stands at the prompt's first token.
- Several names per prompt (`read` = "names"): the map of a token is sum over queries of max(0, g_S) S * max(0, g_C) C,
  S and its gradient for that token, the mean over the heads of S, which have nothing to do with the heads of C.

What a token's `TokenMaps.attention` holds is the mean of C over the queries, weighed by how much they read the token
(for the first token, all alike); its gradient is that of all queries looking there a little more.

Of the checkpoint's contrastive heads nothing is used: BLIP-2 compares a text with the best of 32 image vectors, which
is no cosine of two vectors.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Blip2ForImageTextRetrieval

from pnpovss.backbones.base import Card, LoadOptions, Match, Reading, Recommended, TextTokens, TokenMaps
from pnpovss.backbones.blip2 import MODELS
from pnpovss.backbones.parts.capture import CAPTURE, Seen, read_attention
from pnpovss.backbones.parts.checkpoint import (
    CLIP_NORMALISATION,
    Rgb,
    locate,
    read_config,
    read_model,
    read_normalisation,
    weight_names,
)
from pnpovss.backbones.parts.pairing import by_image, check_layers, flatten, pad_prompts
from pnpovss.backbones.parts.pixels import check_pixels
from pnpovss.backbones.parts.text_side import PatchTokens
from pnpovss.backbones.parts.tuned import tuned
from pnpovss.backbones.parts.wordpiece import WordPiece
from pnpovss.errors import CheckpointError

__all__ = ["Blip2Backbone", "load_blip2"]

PROMPTS = 16  # matched at once: bounds memory
# What a file may hold beside the first stage: the language model that the second stage was trained with.
_SECOND_STAGE = ("language_model.", "language_projection.", "embeddings.position_ids")


class Blip2Backbone:
    """A BLIP-2 image-text-matching checkpoint; satisfies `Backbone` of `pnpovss.backbones.base`.

    `card.dtype` is that of the image side; the Q-Former computes in float32 whatever it says, since its gradient is
    what the maps are made of.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: WordPiece,
        *,
        name: str,
        revision: str | None,
        normalisation: tuple[Rgb, Rgb] = CLIP_NORMALISATION,
        options: LoadOptions | None = None,
    ) -> None:
        """Take over a frozen model in evaluation mode whose Q-Former attends through `CAPTURE`."""
        options = options or LoadOptions()
        model.to(options.device)
        model.vision_model.to(options.dtype)
        self._model, self._tokenizer = model, tokenizer
        self._layers = model.qformer.encoder.layer
        text, vision = model.config.qformer_config, model.config.vision_config
        heads = {
            index: int(text.num_attention_heads)
            for index, layer in enumerate(self._layers)
            if layer.has_cross_attention
        }
        mean, std = normalisation
        self.card = Card(
            name=name,
            revision=revision,
            device=options.device,
            dtype=options.dtype,
            patch=int(vision.patch_size),
            mean=mean,
            std=std,
            max_tokens=int(text.max_position_embeddings),
            heads=heads,
            recommended=tuned(name, model.config.to_dict()) or _guess(heads, int(vision.image_size)),
        )

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text: [CLS], its pieces, [SEP]. Never truncates."""
        return self._tokenizer(text)

    @torch.no_grad()
    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchTokens:
        """Encode normalised pixels, positions interpolated; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        check_pixels(pixels, self.card.patch)
        pixels = pixels.to(self.card.device, self.card.dtype)
        tokens = self._model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
        height, width = (extent // self.card.patch for extent in pixels.shape[2:])
        return PatchTokens(tokens.to(self._model.query_tokens.dtype), (height, width))

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Match prompts with images; see `Backbone.match`.

        The patches' keys and values are computed once per layer for up to 16 prompts of an image. With several layers
        each gradient is the total derivative: what a lower layer's probabilities do to a higher layer's is part of it.

        Raises:
            NamesError: a prompt is longer than the text side reads.
            ConfigError: a layer that does not look at the image.
            InvalidInputError: no prompts, or lists of prompts for another number of images.
        """
        reading = reading or Reading((), gradient=False)
        check_layers(self.card.heads, reading.layers)
        flatten(prompts, len(features))
        logits, maps = [], []
        for image, own in enumerate(prompts):
            # Tensors made under inference_mode cannot enter a graph.
            with torch.inference_mode(False):
                patches = features.tokens[image : image + 1].clone()
            parts = [
                self._match(patches, own[start : start + PROMPTS], reading, features)
                for start in range(0, len(own), PROMPTS)
            ]
            logits += [found for found, _ in parts]
            maps.append(_in_a_row([each for _, of_part in parts for each in of_part], reading, self.card, features))
        found = torch.cat(logits)
        return Match(
            logits=by_image(found[:, 1], prompts),
            probability=by_image(found.softmax(-1)[:, 1], prompts),
            maps=tuple(maps) if reading.layers else (),
        )

    def _match(
        self, patches: Float[Tensor, "1 n d"], prompts: Sequence[TextTokens], reading: Reading, features: PatchTokens
    ) -> tuple[Float[Tensor, "p 2"], list[TokenMaps]]:
        """Logits of some prompts of one image, and the maps of each prompt's tokens."""
        ids, real = pad_prompts(prompts, self._tokenizer.pad_id, self.card.max_tokens, self.card.device)
        layers = [self._layers[index] for index in reading.layers]
        modules = [layer.attention.attention for layer in layers] + [layer.crossattention.attention for layer in layers]
        differentiate = reading.gradient and bool(layers)
        with read_attention(modules, gradient=differentiate) as seen:
            logits = self._logits(patches, ids, real)
            gradients = seen.gradients(logits[:, 1].sum()) if differentiate else None
        if not layers:
            return logits.detach(), []
        lengths = [len(prompt) for prompt in prompts]
        return logits.detach(), _maps(seen, gradients, self._queries, lengths, features)

    @property
    def _queries(self) -> int:
        return int(self._model.query_tokens.shape[1])

    def _logits(
        self, patches: Float[Tensor, "1 n d"], ids: Int[Tensor, "p t"], real: Bool[Tensor, "p t"]
    ) -> Float[Tensor, "p 2"]:
        """No match and match, by the model's own modules; its `forward` knows one image size and one prompt."""
        model = self._model
        hidden = model.embeddings(input_ids=ids, query_embeds=model.query_tokens.expand(len(ids), -1, -1))
        mask = torch.cat([real.new_ones(len(ids), self._queries), real], 1).long()
        states = model.qformer(
            query_embeds=hidden, query_length=self._queries, attention_mask=mask, encoder_hidden_states=patches
        ).last_hidden_state
        return model.itm_head(states[:, : self._queries]).mean(1)


def _maps(
    seen: Seen,
    gradients: list[Tensor] | None,
    queries: int,
    lengths: list[int],
    features: PatchTokens,
) -> list[TokenMaps]:
    """The maps of each prompt's tokens, composed over the queries as the module's docstring says."""

    def split(both: list[Tensor]) -> tuple[Float[Tensor, "p layer head q t"], Float[Tensor, "p layer head q n"]]:
        middle = len(both) // 2
        return torch.stack([each[:, :, :queries, queries:] for each in both[:middle]], 1), torch.stack(
            [each[..., features.prefix :] for each in both[middle:]], 1
        )

    read, look = split(seen.attention)
    share = read.mean(2)  # p layer q t
    share[..., 0] = 1
    share = share / share.sum(2, keepdim=True)
    attention = torch.einsum("plqt,plhqn->plhtn", share, look)
    gradient = composed = None
    if gradients is not None:
        moved, turned = split(gradients)
        gradient = turned.sum(3, keepdim=True).expand_as(attention)
        weight = (moved.clamp(min=0) * read).mean(2)
        weight[..., 0] = 1
        composed = torch.einsum("plqt,plhqn->plhtn", weight, turned.clamp(min=0) * look)
    grids = [None if each is None else each.unflatten(-1, features.grid) for each in (attention, gradient, composed)]

    def of(row: int, length: int) -> TokenMaps:
        own = [None if each is None else each[row, :, :, :length] for each in grids]
        assert own[0] is not None
        return TokenMaps(own[0], *own[1:])

    return [of(*each) for each in enumerate(lengths)]


def _in_a_row(prompts: list[TokenMaps], reading: Reading, card: Card, features: PatchTokens) -> TokenMaps:
    """The maps of all prompts of an image, one after the other."""
    heads = card.heads[reading.layers[0]] if reading.layers else 0
    nothing = features.tokens.new_zeros(len(reading.layers), heads, 0, *features.grid)

    def join(what: str) -> Tensor:
        return torch.cat([nothing, *(getattr(each, what) for each in prompts)], 2)

    return TokenMaps(join("attention"), *((join("gradient"), join("composed")) if reading.gradient else (None, None)))


def load_blip2(name: str, options: LoadOptions) -> Blip2Backbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, its files are missing, damaged or of another architecture, or it has no head
            for image-text matching.
    """
    folder, revision = locate(name, options)
    config = read_config(folder, "blip-2")
    if not any(key.startswith("itm_head.") for key in weight_names(folder)):
        raise CheckpointError(
            f"the checkpoint in {folder} has no head for image-text matching (itm_head): it is of BLIP-2's second "
            f"stage, which writes text ({config.get('architectures')}). Use one of {', '.join(MODELS)}"
        )
    model = read_model(
        folder,
        Blip2ForImageTextRetrieval,
        other_heads=_SECOND_STAGE,
        attn_implementation={"vision_config": "sdpa", "qformer_config": CAPTURE},
    )
    tokenizer = WordPiece(folder, int(model.embeddings.word_embeddings.num_embeddings))
    return Blip2Backbone(
        model,
        tokenizer,
        name=name,
        revision=revision,
        normalisation=read_normalisation(folder),
        options=options,
    )


def _guess(heads: dict[int, int], side: int) -> Recommended:
    """Two thirds up, as the paper's layer of BLIP large; each name asked alone."""
    layers = sorted(heads)
    return Recommended(
        layer=layers[len(layers) * 2 // 3 - (len(layers) > 1)],
        head=0,
        image_size=side,
        settings={"read": "answer"},
        source="untuned: a guess, two thirds up, first head",
    )
