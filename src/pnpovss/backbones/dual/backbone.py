"""CLIP, MetaCLIP 2, TIPSv2, SigLIP and SigLIP 2 of fixed size (transformers): any hub id or folder, any image size.

Their towers never see each other, so no text token looks at a patch. What looks at the patches is the token that the
photo's vector is made of: the class token of CLIP and TIPSv2, in the last layers, and SigLIP's probe, in its pooling
head. A name's map is that attention weighed by the gradient of the name's scaled cosine (as LeGrad, arXiv 2404.03214,
and GradCAM do); all tokens of a prompt share it, so each name is asked alone.

With `read` = "legrad" the map is what LeGrad makes of it: for each of the last layers, the photo's vector as if the
tower ended there (the mean of its tokens), the gradient of its own scaled cosine where it is positive, without the
attention as a factor, averaged over rows, heads and layers. SigLIP, which pools once, has one such layer.

The match logit is scale * cosine + bias. SigLIP was trained to give a pair's probability by its sigmoid. The cosine of
the others has none: what stands for it is the softmax against the bare "A picture of", as if one of the two texts had
to be right. That ranks names; it is no calibrated probability, and nobody measured from which number on a name is
there. So the step `presence` is off for all of these models unless it is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import LoadOptions, Match, Reading, Recommended, TextTokens, TokenMaps
from pnpovss.backbones.dual.checkpoint import DualCheckpoint, read_dual, unit
from pnpovss.backbones.dual.pooling import ClassToken, FirstOfTwo, Probe, Tower
from pnpovss.backbones.parts.capture import CAPTURE, Seen, read_attention
from pnpovss.backbones.parts.checkpoint import CLIP_NORMALISATION, HALF_NORMALISATION, read_normalisation
from pnpovss.backbones.parts.origin import Origin
from pnpovss.backbones.parts.pairing import by_image, checked, flatten, for_graph, token_maps
from pnpovss.backbones.parts.pixels import check_pixels
from pnpovss.backbones.parts.tuned import NEVER_ABSENT, tuned
from pnpovss.prompts import PREFIX

__all__ = ["DualBackbone", "load_dual"]

GRADIENTS = 32
"""Gradients taken at once, of all images together: each takes as much memory as an image in the layers it crosses."""
_TOWERS: dict[str, type[Tower]] = {"clip": ClassToken, "siglip": Probe, "tipsv2": FirstOfTwo}


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """Images on their way through the tower; satisfies `ImageFeatures`.

    Attributes:
        hidden: Float "b layer n d", what goes into each layer that can be read.
        grid: (gh, gw), patches down and across.
    """

    hidden: Float[Tensor, "b layer n d"]
    grid: tuple[int, int]

    def __len__(self) -> int:
        """How many images."""
        return len(self.hidden)

    def __getitem__(self, images: slice) -> "LayerInputs":
        """Some of the images."""
        return LayerInputs(self.hidden[images], self.grid)

    @classmethod
    def join(cls, parts: "Sequence[LayerInputs]") -> "LayerInputs":
        """Images of one grid, one after the other."""
        return cls(torch.cat([part.hidden for part in parts]), parts[0].grid)


class DualBackbone:
    """A checkpoint of two towers; satisfies `Backbone` and `Contrastive` of `pnpovss.backbones.base`.

    All weights are of `card.dtype`; probabilities, cosines and logits are float32.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(self, checkpoint: DualCheckpoint, *, name: str, options: LoadOptions | None = None) -> None:
        """Take over a checkpoint whose model was loaded with `CAPTURE`."""
        options = options or LoadOptions()
        config = checkpoint.model.config
        self._dual = checkpoint
        self._tower: Tower = _TOWERS[checkpoint.kind](checkpoint.model)
        self._neutral = checkpoint.tokenizer(PREFIX)
        default = CLIP_NORMALISATION if checkpoint.kind == "clip" else HALF_NORMALISATION
        normalisation = default if checkpoint.kind == "tipsv2" else read_normalisation(checkpoint.folder, default)
        self.card = Origin(name, checkpoint.revision, options, normalisation).card(
            patch=int(config.vision_config.patch_size),
            max_tokens=checkpoint.max_tokens,
            heads=self._tower.heads,
            recommended=tuned(name, config.to_dict()) or _guess(self._tower, config.vision_config),
            joint_prompt=False,
            reads=("answer", "legrad"),
        )

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text, special tokens included. Never truncates."""
        return self._dual.tokenizer(text)

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> LayerInputs:
        """Encode normalised pixels; see `Backbone.encode_images`. Positions are interpolated for other sizes.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        patch = self.card.patch
        check_pixels(pixels, patch)
        with torch.inference_mode(False), torch.no_grad():
            pixels = for_graph(pixels)
            hidden = self._tower.encode(pixels.to(self.card.device, self._dual.model.dtype))
        return LayerInputs(hidden, (pixels.shape[2] // patch, pixels.shape[3] // patch))

    def match(
        self, features: LayerInputs, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Match prompts with images; see `Backbone.match`. All prompts of an image share one forward.

        Raises:
            NamesError: a prompt is longer than the encoder reads.
            ConfigError: a layer that cannot be read.
            InvalidInputError: no prompts, or lists of prompts for another number of images.
        """
        reading = checked(reading, self.card.heads)
        flat, owner = flatten(prompts, len(features))
        texts = self._dual.embed_texts([*flat, self._neutral])
        layers = () if reading.legrad else reading.layers  # LeGrad reads them one by one
        differentiate = reading.gradient and bool(layers)
        with read_attention(self._tower.modules(layers), rows=[0], gradient=differentiate) as seen:
            image = unit(self._tower.pool(features.hidden, layers, seen))[owner]
            logits, neutral = (self._logit(image, each) for each in (texts[:-1], texts[-1:]))
            gradient = _gradients(seen, logits, prompts, owner) if differentiate else None
        maps: tuple[TokenMaps, ...] = ()
        if reading.legrad:
            maps = self._legrad(features, prompts, owner, texts[:-1], reading.layers)
        elif layers:
            maps = self._maps(features, prompts, torch.stack(seen.attention, 1)[owner, :, :, 0], gradient)
        odds = logits if self._dual.kind == "siglip" else logits - neutral
        return Match(by_image(logits.detach(), prompts), by_image(odds.detach().sigmoid(), prompts), maps)

    def _legrad(
        self,
        features: LayerInputs,
        prompts: Sequence[Sequence[TextTokens]],
        owner: list[int],
        texts: Float[Tensor, "p d"],
        layers: tuple[int, ...],
    ) -> tuple[TokenMaps, ...]:
        """Per layer, the tower ended there: gradients of its own scaled cosines, the mean over rows of what is > 0."""
        found = []
        for layer in layers:
            rows: dict[int, Float[Tensor, "3 head patch"]] = {}
            for asked in _turns(prompts):
                with read_attention(self._tower.modules((layer,))) as seen:
                    image = unit(self._tower.end_at(features.hidden, layer, seen))[[owner[row] for row in asked]]
                    [gradient] = seen.gradients(self._logit(image, texts[asked]).sum())  # b head q patch
                parts = (seen.attention[0], gradient, gradient.clamp(min=0))
                means = torch.stack([each.mean(2) for each in parts])
                rows.update((row, means[:, owner[row]]) for row in asked)
            found.append(torch.stack([rows[row] for row in range(len(owner))]))
        attention, gradient, composed = torch.stack(found, 1).unbind(2)  # each p layer head patch
        return self._maps(features, prompts, attention, gradient, composed)

    @torch.no_grad()
    def embed_images(self, features: LayerInputs) -> Float[Tensor, "b d"]:
        """Images in the contrastive space, as unit vectors."""
        return unit(self._tower.pool(features.hidden, (), None))

    def embed_texts(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """Texts in the contrastive space, as unit vectors; see `DualCheckpoint.embed_texts` for what it raises."""
        return self._dual.embed_texts(texts)

    def _logit(self, image: Float[Tensor, "p d"], text: Float[Tensor, "#p d"]) -> Float[Tensor, " p"]:
        return self._dual.scale * (image * text).sum(-1) + self._dual.bias

    def _maps(
        self,
        features: LayerInputs,
        prompts: Sequence[Sequence[TextTokens]],
        attention: Float[Tensor, "p layer head patch"],
        *more: Float[Tensor, "p layer head patch"] | None,
    ) -> tuple[TokenMaps, ...]:
        """Each prompt's maps, given to all its tokens; tokens of the tower that are no patches are left out."""
        longest = max(len(prompt) for of_image in prompts for prompt in of_image)

        def tokens(rows: Float[Tensor, "p layer head patch"]) -> Float[Tensor, "p layer head token gh gw"]:
            patches = rows[..., self._tower.prefix :].unflatten(-1, features.grid)
            return patches[:, :, :, None].expand(-1, -1, -1, longest, -1, -1)

        gradient, composed = (None if each is None else tokens(each) for each in (*more, None, None)[:2])
        return token_maps(tokens(attention), gradient, prompts, composed)


def _turns(prompts: Sequence[Sequence[TextTokens]]) -> list[list[int]]:
    """Rows of the flat list that are asked together: the first prompts of all images, then the second ones, ..."""
    place = [number for of_image in prompts for number in range(len(of_image))]
    return [[row for row, number in enumerate(place) if number == turn] for turn in range(max(place) + 1)]


def _gradients(
    seen: Seen, logits: Float[Tensor, " p"], prompts: Sequence[Sequence[TextTokens]], owner: list[int]
) -> Float[Tensor, "p layer head patch"]:
    """Each prompt's gradient with respect to its own image's attention, so many at once as memory allows.

    Images do not see each other, so the first prompts of all images are asked about together, then the second ones.
    """
    place = [number for of_image in prompts for number in range(len(of_image))]
    turn = torch.tensor(place, device=logits.device)
    totals = logits.new_zeros(max(place) + 1).index_add(0, turn, logits)
    at_once = max(1, GRADIENTS // (max(owner) + 1))
    each = torch.stack(seen.gradients_of_each(totals, at_once), 2)  # turn b layer head 1 patch
    return each[place, owner, :, :, 0]


def load_dual(name: str, options: LoadOptions) -> DualBackbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, or its files are missing, damaged or of another architecture.
    """
    return DualBackbone(read_dual(name, options, attn_implementation=CAPTURE), name=name, options=options)


def _guess(tower: Tower, vision: Any) -> Recommended:
    """All heads of the last layer. No name is held to be absent: nobody measured from which number on one is."""
    layer, patch = max(tower.heads), int(vision.patch_size)
    return Recommended(
        layer=layer,
        head=0,
        heads=tuple((layer, head) for head in range(tower.heads[layer])),
        # SigLIP's so400m says 384 px and patches of 14: its convolution steps over the last 6, as if it were 378.
        image_size=int(vision.image_size) // patch * patch,
        settings=dict(NEVER_ABSENT),
        source="untuned: a guess, the mean over the heads of the last layer",
    )
