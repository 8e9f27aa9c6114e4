"""Captioners as matching models: how likely an image makes a name, and where the model looks as it writes it.

The match logit is the log-likelihood of the text, "A picture of cat", special tokens left out. Every layer of the
decoder looks at the image; the map of a token is where the row that writes it looks, weighed by the gradient of that
token's own log-likelihood, so that a caption given as a prompt has a map of each of its words. Each name is asked
alone: what stands before a name changes its likelihood.

A likelihood has no threshold: rare words are unlikely in every image. What stands for the probability of a match is
sigmoid(log-likelihood - the same for a picture of the mean colour): above 0.5 where the image speaks for the text. That
ranks names, it is no calibrated probability, and nobody measured from which number on a name is there. So the step
`presence` is off for these models unless it is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import BlipForConditionalGeneration, Florence2ForConditionalGeneration

from pnpovss.backbones.base import LoadOptions, Match, Reading, TextTokens
from pnpovss.backbones.captioner.writers import BlipWriter, Florence2Writer, Writer
from pnpovss.backbones.parts.blip_config import doubt_text_heads
from pnpovss.backbones.parts.capture import CAPTURE, Seen, read_attention
from pnpovss.backbones.parts.checkpoint import (
    CLIP_NORMALISATION,
    IMAGENET_NORMALISATION,
    Rgb,
    read_model,
    weight_names,
)
from pnpovss.backbones.parts.origin import Origin, find_kind
from pnpovss.backbones.parts.pairing import (
    NOTHING,
    by_image,
    checked,
    chunks,
    flatten,
    for_graph,
    pad_prompts,
    token_maps,
)
from pnpovss.backbones.parts.text_side import PatchTokens
from pnpovss.backbones.parts.tuned import NEVER_ABSENT, deep, guess, tuned

__all__ = ["CaptionerBackbone", "is_captioner", "load_captioner"]

PROMPTS = 8  # written at once: bounds memory
_BLANKS = 4  # sizes of which the picture of the mean colour is remembered
_TEXTS = 4096  # whose likelihood over it is remembered
# By `model_type`: class of transformers, ours, pixels where the checkpoint does not say, how transformers is to attend.
_ARCHITECTURES: dict[str, tuple[Any, Any, tuple[Rgb, Rgb], dict[str, Any]]] = {
    "florence2": (
        Florence2ForConditionalGeneration,
        Florence2Writer,
        IMAGENET_NORMALISATION,
        {"attn_implementation": {"text_config": CAPTURE, "vision_config": "sdpa"}},
    ),
    "blip": (BlipForConditionalGeneration, BlipWriter, CLIP_NORMALISATION, {}),
}


class CaptionerBackbone:
    """A checkpoint that writes captions; satisfies `Backbone` of `pnpovss.backbones.base`.

    `card.dtype` is that of the image side; the decoder computes in float32 whatever it says, since its gradient is what
    the maps are made of.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(
        self,
        writer: Writer,
        config: dict[str, Any],
        origin: Origin,
    ) -> None:
        """Take over a frozen model in evaluation mode."""
        self._writer = writer
        self._blanks: dict[tuple[int, int], _Blank] = {}
        self.card = origin.card(
            patch=writer.patch,
            max_tokens=writer.max_tokens,
            heads=writer.heads,
            recommended=tuned(origin.name, config, "write")
            or guess(deep(len(writer.heads)), writer.side, NEVER_ABSENT),
            joint_prompt=False,
            longest_side=writer.longest_side,
            reads=("names",),
        )

    def tokenize(self, text: str) -> TextTokens:
        """The tokens that are written, the end token included. Never truncates."""
        return self._writer.tokenize(text)

    @torch.no_grad()
    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchTokens:
        """Encode normalised pixels; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a side is no multiple of the patch, or too long.
        """
        return self._writer.see(pixels.to(self.card.device))

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """How likely texts are; see `Backbone.match`, and the module's docstring for what the numbers are.

        Gradients are of the whole text's log-likelihood; with several layers each is the total derivative.

        Raises:
            NamesError: a text is longer than the decoder writes.
            ConfigError: a layer that there is not.
            InvalidInputError: no prompts, or lists of prompts for another number of images.
        """
        reading = checked(reading, self.card.heads)
        flat, _ = flatten(prompts, len(features))
        with torch.inference_mode(False):  # whose tensors cannot enter a graph
            ids, _ = pad_prompts(flat, self._writer.pad_id, self.card.max_tokens, self.card.device)
            written = _written(flat, ids)
            tokens = for_graph(features.tokens)
        parts = [
            self._read(tokens[image : image + 1], ids[rows], written[rows], reading)
            for image, rows in chunks(prompts, PROMPTS)
        ]
        logits, neutral = torch.cat([found for found, _ in parts]), self._neutral(features.grid, flat)
        maps = [_patches(torch.cat(each), features) for each in zip(*(own for _, own in parts), strict=True)]
        gradient, composed = maps[1:] or (None, None)
        return Match(
            logits=by_image(logits, prompts),
            probability=by_image((logits - neutral).sigmoid(), prompts),
            maps=token_maps(maps[0], gradient, prompts, composed) if maps else (),
        )

    def _read(
        self, memory: Float[Tensor, "1 n d"], ids: Int[Tensor, "p t"], written: Bool[Tensor, "p t"], reading: Reading
    ) -> tuple[Float[Tensor, " p"], tuple[Float[Tensor, "p layer head t n"], ...]]:
        """Log-likelihoods of some texts over one image; attention, and gradient and composed maps if wanted."""
        differentiate = reading.gradient and bool(reading.layers)
        with read_attention(self._writer.modules(reading.layers), gradient=differentiate) as seen:
            likely = self._writer.write(ids, memory, seen).float().log_softmax(-1)
            each = likely.gather(2, ids[..., None])[..., 0] * written
            maps = _maps(seen, each, written, differentiate) if reading.layers else ()
        return each.detach().sum(1), maps

    def _blank(self, grid: tuple[int, int]) -> "_Blank":
        """A picture of the mean colour, encoded once for each size."""
        blank = self._blanks.get(grid)
        if blank is None:
            with torch.inference_mode(False):
                seen = self.encode_images(torch.zeros(1, 3, *(side * self.card.patch for side in grid)))
            if len(self._blanks) >= _BLANKS:
                self._blanks.clear()
            blank = self._blanks[grid] = _Blank(seen.tokens)
        return blank

    def _neutral(self, grid: tuple[int, int], prompts: Sequence[TextTokens]) -> Float[Tensor, " p"]:
        """Log-likelihoods over the blank. No photo changes them: each text is written once, not at every look."""
        blank = self._blank(grid)
        if len(blank.likely) > _TEXTS:
            blank.likely.clear()
        # A copy of what is known: another thread may forget it meanwhile.
        likely = {prompt: known for prompt in prompts if (known := blank.likely.get(prompt)) is not None}
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in likely]
        for start in range(0, len(new), PROMPTS):
            some = new[start : start + PROMPTS]
            ids, _ = pad_prompts(some, self._writer.pad_id, self.card.max_tokens, self.card.device)
            found = self._read(blank.tokens, ids, _written(some, ids), NOTHING)[0]
            likely.update(zip(some, found, strict=True))
            blank.likely.update(zip(some, found, strict=True))
        return torch.stack([likely[prompt] for prompt in prompts])


@dataclass(frozen=True, eq=False)
class _Blank:
    """The picture of the mean colour, encoded; and how likely it makes the texts that were asked for."""

    tokens: Float[Tensor, "1 n d"]
    likely: dict[TextTokens, Float[Tensor, ""]] = field(default_factory=dict)


def _written(prompts: Sequence[TextTokens], ids: Int[Tensor, "p t"]) -> Bool[Tensor, "p t"]:
    """Which tokens are words of the text."""
    rows = [[start < end for start, end in prompt.offsets] for prompt in prompts]
    return torch.tensor([[*row, *[False] * (ids.shape[1] - len(row))] for row in rows], device=ids.device)


def _maps(
    seen: Seen, likely: Float[Tensor, "p t"], written: Bool[Tensor, "p t"], differentiate: bool
) -> tuple[Float[Tensor, "p layer head t n"], ...]:
    """Attention; the gradient of each text's likelihood; each token's attention weighed by its own likelihood's."""
    attention = torch.stack(seen.attention, 1)
    if not differentiate:
        return (attention,)
    places = written.any(0).nonzero().flatten()
    # Texts do not see each other: the first tokens of all are asked about together, then the second ones.
    grads = torch.stack(seen.gradients_of_each(likely.sum(0)[places]), 2)  # place p layer head t n
    own = torch.zeros_like(attention)
    own[..., places, :] = torch.stack([grad[..., place, :] for grad, place in zip(grads, places, strict=True)], -2)
    return attention, grads.sum(0), own.clamp(min=0) * attention


def _patches(maps: Float[Tensor, "p layer head t n"], features: PatchTokens) -> Float[Tensor, "p layer head t gh gw"]:
    """The patches' columns, on their grid."""
    height, width = features.grid
    return maps[..., features.prefix : features.prefix + height * width].unflatten(-1, features.grid)


def is_captioner(folder: Path) -> bool:
    """Whether a checkpoint of BLIP writes captions; its config may not say.

    Raises:
        CheckpointError: its weights are missing or damaged.
    """
    names = weight_names(folder)
    return any(name.startswith("text_decoder.") for name in names) and "itm_head.weight" not in names


def load_captioner(name: str, options: LoadOptions) -> CaptionerBackbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, or its files are missing, damaged or of another architecture.
    """
    folder, kind, origin = find_kind(name, options, {kind: entry[2] for kind, entry in _ARCHITECTURES.items()})
    architecture, writer, _, attention = _ARCHITECTURES[kind]
    model = read_model(folder, architecture, **attention).to(options.device)
    if kind == "blip":
        doubt_text_heads(name, model.config.text_config)
    return CaptionerBackbone(writer(model, folder, options.dtype), model.config.to_dict(), origin)
