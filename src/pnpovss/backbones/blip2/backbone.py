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

from pnpovss.backbones.base import LoadOptions, Match, Reading, TextTokens
from pnpovss.backbones.blip2 import MODELS
from pnpovss.backbones.parts.capture import CAPTURE, read_attention
from pnpovss.backbones.parts.checkpoint import read_model, weight_names
from pnpovss.backbones.parts.framed import BERT, FramedTokenizer
from pnpovss.backbones.parts.origin import Origin, find
from pnpovss.backbones.parts.pairing import by_image, checked, chunks, flatten, for_graph, pad_prompts, token_maps
from pnpovss.backbones.parts.pixels import check_pixels
from pnpovss.backbones.parts.text_side import PatchTokens
from pnpovss.backbones.parts.tuned import deep, guess, tuned
from pnpovss.errors import CheckpointError

__all__ = ["Blip2Backbone", "load_blip2"]

PROMPTS = 16  # matched at once: bounds memory
_ALONE = {"read": "answer"}  # each name in a prompt of its own
# What a file may hold beside the first stage: the language model that the second stage was trained with.
_SECOND_STAGE = ("language_model.", "language_projection.")


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
        tokenizer: FramedTokenizer,
        origin: Origin,
    ) -> None:
        """Take over a frozen model in evaluation mode whose Q-Former attends through `CAPTURE`."""
        model.to(origin.options.device)
        model.vision_model.to(origin.options.dtype)
        self._model, self._tokenizer = model, tokenizer
        self._layers = model.qformer.encoder.layer
        text, vision = model.config.qformer_config, model.config.vision_config
        heads = {
            index: int(text.num_attention_heads)
            for index, layer in enumerate(self._layers)
            if layer.has_cross_attention
        }
        self.card = origin.card(
            patch=int(vision.patch_size),
            max_tokens=int(text.max_position_embeddings),
            heads=heads,
            recommended=tuned(origin.name, model.config.to_dict())
            or guess(sorted(heads)[deep(len(heads))], int(vision.image_size), _ALONE),
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
        reading = checked(reading, self.card.heads)
        flat, _ = flatten(prompts, len(features))
        with torch.inference_mode(False):  # whose tensors cannot enter a graph
            ids, real = pad_prompts(flat, self._tokenizer.pad_id, self.card.max_tokens, self.card.device)
            tokens = for_graph(features.tokens)
        parts = [
            self._match(tokens[image : image + 1], ids[rows], real[rows], reading)
            for image, rows in chunks(prompts, PROMPTS)
        ]
        logits = torch.cat([found for found, _ in parts])
        maps = [torch.cat(each).unflatten(-1, features.grid) for each in zip(*(own for _, own in parts), strict=True)]
        gradient, composed = maps[1:] or (None, None)
        return Match(
            logits=by_image(logits[:, 1], prompts),
            probability=by_image(logits.softmax(-1)[:, 1], prompts),
            maps=token_maps(maps[0], gradient, prompts, composed) if maps else (),
        )

    def _match(
        self, patches: Float[Tensor, "1 n d"], ids: Int[Tensor, "p t"], real: Bool[Tensor, "p t"], reading: Reading
    ) -> tuple[Float[Tensor, "p 2"], tuple[Float[Tensor, "p layer head t patch"], ...]]:
        """Logits of some prompts of one image; attention, and gradient and composed maps if these are wanted."""
        layers = [self._layers[index] for index in reading.layers]
        modules = [layer.attention.attention for layer in layers] + [layer.crossattention.attention for layer in layers]
        differentiate = reading.gradient and bool(layers)
        with read_attention(modules, gradient=differentiate) as seen:
            logits = self._logits(patches, ids, real)
            gradients = seen.gradients(logits[:, 1].sum()) if differentiate else []
        if not layers:
            return logits.detach(), ()
        read, look = self._split(seen.attention)
        weighed = _weigh(read, look, *self._split(gradients)) if differentiate else ()
        return logits.detach(), (_compose(read, look), *weighed)

    def _split(
        self, both: Sequence[Tensor]
    ) -> tuple[Float[Tensor, "p layer head q t"], Float[Tensor, "p layer head q patch"]]:
        """What queries read of the text, and where they look: of self- and of cross-attentions."""
        middle = len(both) // 2
        return (
            torch.stack([each[:, :, : self._queries, self._queries :] for each in both[:middle]], 1),
            torch.stack([each[..., PatchTokens.prefix :] for each in both[middle:]], 1),
        )

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


def _compose(
    read: Float[Tensor, "p layer head q t"], look: Float[Tensor, "p layer head q patch"]
) -> Float[Tensor, "p layer head t patch"]:
    """Where the queries look, the mean of those that read a token; for the first token, of all."""
    share = read.mean(2)
    share[..., 0] = 1
    return torch.einsum("plqt,plhqn->plhtn", share / share.sum(2, keepdim=True).clamp(min=1e-12), look)


def _weigh(
    read: Float[Tensor, "p layer head q t"],
    look: Float[Tensor, "p layer head q patch"],
    moved: Float[Tensor, "p layer head q t"],
    turned: Float[Tensor, "p layer head q patch"],
) -> tuple[Float[Tensor, "p layer head t patch"], Float[Tensor, "p layer head t patch"]]:
    """The gradient of all queries' look, and the maps of the module's docstring; g_S is `moved`, g_C `turned`."""
    weight = (moved.clamp(min=0) * read).mean(2)
    weight[..., 0] = 1
    composed = torch.einsum("plqt,plhqn->plhtn", weight, turned.clamp(min=0) * look)
    return turned.sum(3, keepdim=True).expand_as(composed), composed


def load_blip2(name: str, options: LoadOptions) -> Blip2Backbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, its files are missing, damaged or of another architecture, or it has no head
            for image-text matching.
    """
    folder, origin = find(name, options, "blip-2")
    if not any(key.startswith("itm_head.") for key in weight_names(folder)):
        raise CheckpointError(
            f"the checkpoint in {folder} has no head for image-text matching (itm_head): it is of BLIP-2's second "
            f"stage, which writes text. Use one of {', '.join(MODELS)}"
        )
    model = read_model(
        folder,
        Blip2ForImageTextRetrieval,
        other_heads=_SECOND_STAGE,
        attn_implementation={"vision_config": "sdpa", "qformer_config": CAPTURE},
    )
    tokenizer = FramedTokenizer(folder, int(model.embeddings.word_embeddings.num_embeddings), BERT)
    return Blip2Backbone(model, tokenizer, origin)
