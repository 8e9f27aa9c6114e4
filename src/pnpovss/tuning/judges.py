"""Who tells whether a name is in what is left of a photo: any model that places photos and texts in one space."""

from collections.abc import Sequence
from typing import Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import Backbone, LoadOptions, is_contrastive
from pnpovss.backbones.dual.checkpoint import Kind
from pnpovss.backbones.dual_encoder import DualEncoder, load_dual_encoder
from pnpovss.config import Settings
from pnpovss.errors import ConfigError
from pnpovss.images import load_image
from pnpovss.inputs import to_pixels
from pnpovss.names import Name
from pnpovss.presence.base import few_digits
from pnpovss.prompts import PROMPT, build_prompts

__all__ = ["BARE", "DualJudge", "Judge", "OwnJudge", "make_judge"]

BARE = "{}"  # the name alone, as the authors ask
_TEMPLATE = "a photo of a {}."
_OWN_SCALE = 1 / 0.07  # of the cosine: the temperature that contrastive heads start to learn from
_TEXTS = 64  # read at once
SIDE = 224  # px, of a model that reads any size: what a thing is can be told from less than where it ends


@runtime_checkable
class Judge(Protocol):
    """Says of photos, parts of which are blanked, what is in them."""

    @property
    def key(self) -> str:
        """As results record it: "itc", "clip:MODEL"."""
        ...

    @property
    def is_the_model_itself(self) -> bool:
        """Whether it is the model that is tuned."""
        ...

    def pixels(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        """The whole photo as the judge reads it, squeezed to its input, normalised: 0 is the mean colour."""
        ...

    def logits(self, pixels: Float[Tensor, "b 3 h w"], names: Sequence[Name]) -> Float[Tensor, "b word"]:
        """A logit for each name, to be compared between names; a name's best synonym counts.

        Args:
            pixels: from `pixels`, with some of them 0.
            names: what to choose between; what is computed of them is kept for the next call.
        """
        ...


class OwnJudge:
    """The contrastive heads of the model that is tuned: it judges itself, which every result says."""

    is_the_model_itself = True

    def __init__(
        self, backbone: Backbone, settings: Settings, template: str | None = None, side: int | None = None
    ) -> None:
        """Take a backbone's contrastive half.

        Args:
            backbone: the model.
            settings: tell the side of its input, where it reads one only.
            template: of the texts, {} where the name stands; the model's own prompt if not given.
            side: of the input [px], a multiple of the patch; near `SIDE` if not given and the model reads any.

        Raises:
            ConfigError: it has none.
        """
        if not is_contrastive(backbone):
            raise ConfigError(
                f"{backbone.card.name!r} has no contrastive heads to judge with; name another judge, such as "
                "--judge clip:MODEL, or --judge none"
            )
        self._backbone, card = backbone, backbone.card
        near = max(1, round(min(SIDE, settings.image_size) / card.patch)) * card.patch
        self._side = side or (near if card.sizes != "fixed" else settings.image_size)
        self._wording = template or (card.prompt if "{}" in card.prompt else PROMPT)
        self._known: tuple[tuple[Name, ...], Float[Tensor, "t d"]] | None = None

    @property
    def key(self) -> str:
        """The heads, the texts they read, and the size of what they look at."""
        return f"itc, {self._wording!r}, {self._side} px"

    def pixels(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        """See `Judge.pixels`."""
        return to_pixels(load_image(image), (self._side, self._side), self._backbone.card)[0]

    def logits(self, pixels: Float[Tensor, "b 3 h w"], names: Sequence[Name]) -> Float[Tensor, "b word"]:
        """See `Judge.logits`."""
        seen = self._backbone.embed_images(self._backbone.encode_images(pixels))
        return _best(_OWN_SCALE * (seen.float() @ self._texts(tuple(names)).T), names)

    def _texts(self, names: tuple[Name, ...]) -> Float[Tensor, "t d"]:
        if self._known is None or self._known[0] != names:
            card, tokenize = self._backbone.card, self._backbone.tokenize
            words = [Name(word) for name in names for word in name.all]
            texts = [build_prompts([w], tokenize, card.max_tokens, wording=self._wording).tokens[0] for w in words]
            parts = [
                self._backbone.embed_texts(texts[start : start + _TEXTS]) for start in range(0, len(texts), _TEXTS)
            ]
            self._known = (names, torch.cat(parts).float())
        return self._known[1]


class DualJudge:
    """A CLIP, SigLIP or TIPSv2 checkpoint; logits are scaled cosines, with the scale that the checkpoint learnt."""

    is_the_model_itself = False

    def __init__(self, encoder: DualEncoder, template: str | None = None) -> None:
        self._encoder, self._own = encoder, encoder.checkpoint
        self._template = template or _TEMPLATE
        self._known: tuple[tuple[Name, ...], Float[Tensor, "t d"]] | None = None

    @property
    def key(self) -> str:
        """The checkpoint, a few digits of a checksum of its revision, and the texts it reads."""
        return f"{self._own.kind}:{self._encoder.name}@{few_digits(self._own.revision)}, {self._template!r}"

    def pixels(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        """See `Judge.pixels`; nothing is cropped, since a mask covers the whole photo."""
        return self._encoder.squeeze(load_image(image)).to(self._own.model.device)

    def logits(self, pixels: Float[Tensor, "b 3 h w"], names: Sequence[Name]) -> Float[Tensor, "b word"]:
        """See `Judge.logits`."""
        seen = self._encoder.embed_pixels(pixels)
        return _best(self._own.scale * (seen @ self._texts(tuple(names)).T), names)

    def _texts(self, names: tuple[Name, ...]) -> Float[Tensor, "t d"]:
        if self._known is None or self._known[0] != names:
            words = [self._template.format(word) for name in names for word in name.all]
            self._known = (names, self._encoder.embed_texts(words))
        return self._known[1]


def make_judge(
    spec: str, backbone: Backbone, settings: Settings, template: str | None = None, load: LoadOptions | None = None
) -> Judge | None:
    """A judge from how it is written on the command line.

    Args:
        spec: "itc" (the model's own contrastive heads), "clip:MODEL", "siglip:MODEL", "tipsv2:MODEL" (hub id or
            folder), or "none".
        backbone: the model that is tuned.
        settings: with which it is tuned.
        template: of the texts, {} where the name stands; the judge's own if not given.
        load: how another model is loaded.

    Raises:
        ConfigError: an unknown judge, or one that this model cannot be.
        CheckpointError: its checkpoint cannot be had, or is of another kind than was said.
    """
    kind, _, model = spec.partition(":")
    if spec == "none":
        return None
    if spec == "itc":
        return OwnJudge(backbone, settings, template)
    if kind not in get_args(Kind) or not model:
        others = ", ".join(f"{each}:MODEL" for each in get_args(Kind))
        raise ConfigError(f"unknown judge {spec!r}; known: itc, {others}, none")
    encoder = load_dual_encoder(model, load)
    if encoder.checkpoint.kind != kind:
        raise ConfigError(
            f"{model} is a {encoder.checkpoint.kind} checkpoint; write --judge {encoder.checkpoint.kind}:{model}"
        )
    return DualJudge(encoder, template)


def _best(logits: Float[Tensor, "b t"], names: Sequence[Name]) -> Float[Tensor, "b word"]:
    """Each name's greatest logit over its words."""
    parts = logits.split([len(name.all) for name in names], dim=1)
    return torch.stack([part.amax(1) for part in parts], 1)
