"""ViLT and FLAVA as matching models: where the words of a text look in the image, in one row with its patches.

What is read of a layer is the attention of text rows to patch columns, and its gradient. ViLT answers with a score
that ranks texts; what stands for its probability is sigmoid(score - that of the bare "A picture of"), which ranks
names and is no calibrated probability. FLAVA's was trained on texts with words left out. Nobody measured from which
number on a name is there, so the step `presence` is off for both unless it is asked for.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import FlavaForPreTraining, ViltForImageAndTextRetrieval

from pnpovss.backbones.base import LoadOptions, Match, Reading, TextTokens
from pnpovss.backbones.joint.streams import FlavaStream, Stream, ViltStream, run
from pnpovss.backbones.parts.capture import read_attention
from pnpovss.backbones.parts.checkpoint import (
    CLIP_NORMALISATION,
    HALF_NORMALISATION,
    Rgb,
    read_model,
)
from pnpovss.backbones.parts.framed import BERT, FramedTokenizer
from pnpovss.backbones.parts.origin import Origin, find_kind
from pnpovss.backbones.parts.pairing import (
    NOTHING,
    by_image,
    checked,
    flatten,
    for_graph,
    last_layer,
    pad_prompts,
    token_maps,
)
from pnpovss.backbones.parts.pixels import check_pixels
from pnpovss.backbones.parts.text_side import PatchTokens
from pnpovss.backbones.parts.tuned import NEVER_ABSENT, deep, guess, tuned
from pnpovss.prompts import PREFIX

__all__ = ["JointBackbone", "load_joint"]

ROWS = 8  # pairs at once, each with all patches of its image: bounds memory
_ARCHITECTURES: dict[str, tuple[Any, Any, tuple[Rgb, Rgb]]] = {
    "vilt": (ViltForImageAndTextRetrieval, ViltStream, HALF_NORMALISATION),
    "flava": (FlavaForPreTraining, FlavaStream, CLIP_NORMALISATION),
}


class JointBackbone:
    """A checkpoint of ViLT or FLAVA; satisfies `Backbone` of `pnpovss.backbones.base`.

    `card.dtype` is that of what the image alone goes through; the layers in which text and image meet compute in
    float32 whatever it says, since their gradient is what the maps are made of.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(
        self,
        stream: Stream,
        tokenizer: FramedTokenizer,
        config: dict[str, Any],
        origin: Origin,
    ) -> None:
        """Take over a frozen model in evaluation mode."""
        self._stream, self._tokenizer = stream, tokenizer
        self._neutral = tokenizer(PREFIX)
        heads = dict.fromkeys(range(stream.read), int(stream.layers[0].attention.attention.num_attention_heads))
        self.card = origin.card(
            patch=stream.patch,
            max_tokens=stream.max_tokens,
            heads=heads,
            recommended=tuned(origin.name, config) or guess(deep(stream.read), stream.side, NEVER_ABSENT),
            reads=("names", "answer") if stream.text_first else ("names",),
            gradientless=last_layer(heads, len(stream.layers)),
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
        height, width = (extent // self.card.patch for extent in pixels.shape[2:])
        tokens = self._stream.see(pixels.to(self.card.device, self.card.dtype))
        return PatchTokens(tokens, (height, width), self._stream.prefix)

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Match prompts with images; see `Backbone.match`.

        With several layers each gradient is the total derivative: what a lower layer's probabilities do to a higher
        layer's is part of it.

        Raises:
            NamesError: a prompt is longer than the model reads.
            ConfigError: a layer that cannot be read.
            InvalidInputError: no prompts, or lists of prompts for another number of images.
        """
        reading = checked(reading, self.card.heads)
        flat, owner = flatten(prompts, len(features))
        tokens = features.tokens
        with torch.inference_mode(False), torch.no_grad():  # its tensors cannot enter a graph
            tokens = for_graph(tokens)
            ids, real = pad_prompts(flat, self._tokenizer.pad_id, self.card.max_tokens, self.card.device)
            words = self._stream.speak(ids, real)
        logits, maps = self._match(words, real, tokens, owner, reading)
        maps = [self._of_patches(each, features) for each in maps]
        if self._stream.ranks:
            probability = (logits[:, 0] - self._neutral_scores(tokens)[owner]).sigmoid()
        else:
            probability = logits.softmax(-1)[:, 1]
        return Match(
            logits=by_image(logits[:, -1], prompts),
            probability=by_image(probability, prompts),
            maps=token_maps(maps[0], maps[1] if len(maps) > 1 else None, prompts) if maps else (),
        )

    def _match(
        self,
        words: Float[Tensor, "p t d"],
        real: Bool[Tensor, "p t"],
        tokens: Float[Tensor, "b n d"],
        owner: list[int],
        reading: Reading,
    ) -> tuple[Float[Tensor, "p k"], list[Float[Tensor, "p layer head t n"]]]:
        """Logits, and attention and its gradient where these are wanted: text rows, image columns."""
        parts = []
        for start in range(0, len(words), ROWS):
            some = slice(start, start + ROWS)
            parts.append(self._pairs(words[some], real[some], tokens[owner[some]], reading))
        logits, *maps = (torch.cat(each) for each in zip(*parts, strict=True))
        return logits, maps

    def _pairs(
        self, words: Float[Tensor, "p t d"], real: Bool[Tensor, "p t"], image: Float[Tensor, "p n d"], reading: Reading
    ) -> list[Tensor]:
        """The same for few enough pairs."""
        stream = self._stream
        modules = [stream.layers[layer].attention.attention for layer in reading.layers]
        row = [words, image] if stream.text_first else [image, words]
        all_real = real.new_ones(image.shape[:2])
        counts = torch.cat([real, all_real] if stream.text_first else [all_real, real], 1)
        differentiate = reading.gradient and bool(modules)
        with read_attention(modules, gradient=differentiate) as seen:
            logits = stream.judge(run(stream.layers, torch.cat(row, 1), counts, seen))
            gradients = seen.gradients(logits[:, -1].sum()) if differentiate else []
        found = [each for each in (seen.attention, gradients) if each]
        return [logits.detach(), *(self._of_text(torch.stack(each, 1), words.shape[1]) for each in found)]

    def _of_text(self, maps: Float[Tensor, "p layer head m m"], length: int) -> Float[Tensor, "p layer head t n"]:
        """Text rows and image columns of the whole row's."""
        if self._stream.text_first:
            return maps[..., :length, length:]
        return maps[..., -length:, :-length]

    def _of_patches(
        self, maps: Float[Tensor, "p layer head t n"], features: PatchTokens
    ) -> Float[Tensor, "p layer head t gh gw"]:
        return maps[..., features.prefix :].unflatten(-1, features.grid)

    def _neutral_scores(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, " b"]:
        """The score of the bare prompt for each image."""
        ids = torch.tensor([self._neutral.ids], device=tokens.device)
        real = torch.ones_like(ids, dtype=torch.bool)
        images = len(tokens)
        with torch.inference_mode(False), torch.no_grad():
            words = self._stream.speak(ids, real).expand(images, -1, -1)
        return self._match(words, real.expand(images, -1), tokens, list(range(images)), NOTHING)[0][:, 0]


def load_joint(name: str, options: LoadOptions) -> JointBackbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, or its files are missing, damaged or of another architecture or task.
    """
    folder, kind, origin = find_kind(name, options, {kind: pixels for kind, (*_, pixels) in _ARCHITECTURES.items()})
    architecture, stream, _ = _ARCHITECTURES[kind]
    model = read_model(folder, architecture).to(options.device)
    taken = stream(model, options.dtype)
    return JointBackbone(taken, FramedTokenizer(folder, taken.vocabulary, BERT), model.config.to_dict(), origin)
