"""The method over what is remembered of a photo: each step is computed once, and only when something asks for it.

What a result depends on is taken apart by content: the photo, its pixels as the model reads them, their encodings, the
maps of some names, the Dense CRF of the photo. A second word looks again but encodes nothing; a threshold starts from
the maps. Every value is what `Segmenter` computes; nothing is an approximation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from pnpovss.backbones.base import Backbone, ImageFeatures, Match, Reading, TextTokens
from pnpovss.backbones.shared import SharedEncodings
from pnpovss.batch.recipe import EVERYTHING, FilterChoice
from pnpovss.config import Settings
from pnpovss.errors import PnpOvssError
from pnpovss.images.load import Upright, load_upright
from pnpovss.inputs import Inputs, prepare
from pnpovss.matching import match_names
from pnpovss.memory import Memory
from pnpovss.names import Name
from pnpovss.presence.base import Photo
from pnpovss.refine.photo_crf import PhotoCrf
from pnpovss.results.segmentation import Segmentation
from pnpovss.segmenter import Explained, Segmenter
from pnpovss.service.limits import Limits
from pnpovss.service.work import go_on

__all__ = ["Asked", "Forgotten", "Remembering", "photo_id"]

# Settings that the maps do not depend on; all others they do.
_AFTER_MAPS = ("threshold", "background", "blur", "crf", "instances")


class Forgotten(PnpOvssError):
    """A photo was named by its id, and is not remembered (any more)."""

    def __init__(self, photo: str) -> None:
        super().__init__(f"the photo {photo} is not remembered here, or not any more; send the photo itself")


def photo_id(content: bytes) -> str:
    """What a photo is called: the SHA-256 of its file."""
    return f"sha256:{sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Asked:
    """What a request asks for, checked.

    Attributes:
        photo: its id.
        content: of its file; None where only the id was sent.
        names: what is looked for.
        settings: that run.
        preset: that they started from.
        presence: a filter that decides which names are there; None leaves that to the settings.
        settings_source: who chose the preset's own settings; the checkpoint if not given.
    """

    photo: str
    content: bytes | None
    names: tuple[Name, ...]
    settings: Settings
    preset: str
    presence: str | None = None
    settings_source: str | None = None


class Remembering:
    """One model, and what is remembered of photos. One object may be used from several threads.

    Attributes:
        backbone: the model; its encodings are remembered.
        memory: of everything.
        limits: on photos.
    """

    def __init__(self, backbone: Backbone, memory: Memory, limits: Limits) -> None:
        self.backbone = cast(Backbone, _Watched(backbone, memory))
        self.memory = memory
        self.limits = limits

    def photo(self, asked: Asked) -> Image.Image:
        """The photo, upright, RGB; see `upright`."""
        return self.upright(asked).image

    def upright(self, asked: Asked) -> Upright:
        """The photo, and whether browsers show it turned like that.

        Raises:
            Forgotten: only its id was sent, and it is not remembered.
            ImageError: it cannot be read, or is too large.
        """
        key = ("photo", asked.photo)
        upright = self.memory.get(key)
        if upright is None:
            if asked.content is None:
                raise Forgotten(asked.photo)
            upright = load_upright(asked.content, max_pixels=self.limits.pixels)
            self.memory.put(key, upright)
        self.limits.check_photo(upright.image.size, len(asked.names), asked.settings)
        return upright

    def look(self, asked: Asked) -> tuple[Explained, dict[str, Any]]:
        """The maps of the names that are there, and what the record says of a filter's choice."""
        decided = self._decide(asked)
        if decided is None:
            return self.explain(asked), {}
        return self.explain(asked, decided[0]), decided[1]

    def explain(self, asked: Asked, present: tuple[int, ...] | None = None) -> Explained:
        """The maps of the names, before refinement."""
        maps = asked.settings.model_copy(update=dict.fromkeys(_AFTER_MAPS))
        key = ("maps", asked.photo, asked.names, present, _text(maps))
        return self.memory.find(key, lambda: self._explain(asked, present))

    def _explain(self, asked: Asked, present: tuple[int, ...] | None) -> Explained:
        inputs = replace(self.inputs(asked, asked.settings), present=present)
        [explained] = self._segmenter(asked).explain([inputs], name_match=True)
        return explained

    def inputs(self, asked: Asked, settings: Settings) -> Inputs:
        """The photo as the model reads it with some settings."""
        image = self.photo(asked)
        kind = settings.image_size, settings.keep_aspect, settings.views
        key = ("pixels", asked.photo, kind[0], kind[1], settings.views and _text(settings.views))
        pixels = self.memory.find(key, lambda: prepare(image, asked.names, self.backbone.card, settings).pixels)
        return Inputs(image, asked.names, pixels)

    def refine(self, asked: Asked, explained: Explained, image: Image.Image, settings: Settings) -> Segmentation:
        """The result, from the maps.

        Args:
            asked: what was asked for.
            explained: the maps.
            image: the photo, or the same smaller.
            settings: that run; widths in pixels are of `image`.
        """
        go_on()
        segmenter = Segmenter(self.backbone, settings, asked.preset, asked.settings_source)
        inputs = Inputs(image, asked.names, torch.zeros(1, 3, 1, 1))  # the maps are there: nothing looks at pixels
        crf, key = None, ("crf", asked.photo, image.size, settings.crf and _text(settings.crf))
        if settings.crf is not None and explained.kept and not explained.names.is_cuda:
            crf = self.memory.get(key) or PhotoCrf(torch.from_numpy(np.array(image)), settings.crf)
        result = segmenter.finish(inputs, explained, crf, go_on)
        if crf is not None:
            self.memory.put(key, crf)  # now that its filters are built, and its size is known
        return result

    def match(self, asked: Asked) -> tuple[float, ...]:
        """Probability in [0, 1] that each name alone matches the photo; its best synonym decides."""
        inputs = self.inputs(asked, asked.settings)
        [scores] = match_names(
            self.backbone, self.backbone.encode_images(inputs.pixels[:1]), [asked.names], asked.settings
        )
        return scores

    def _segmenter(self, asked: Asked) -> Segmenter:
        return Segmenter(self.backbone, asked.settings, asked.preset, asked.settings_source)

    def _decide(self, asked: Asked) -> tuple[tuple[int, ...], dict[str, Any]] | None:
        """Which names a filter holds to be there, and what the record says of that; None without a filter."""
        if asked.presence in (None, EVERYTHING):
            return None
        made = FilterChoice(asked.presence).make(self._segmenter(asked))
        assert made is not None
        decided = made.decide(Photo(self.photo(asked)), asked.names)
        scores = {name.text: round(score, 4) for name, score in zip(asked.names, decided.scores, strict=True)}
        return decided.kept, {"presence": {"filter": made.key, "scores": scores, "note": decided.note}}


def _text(settings: Any) -> str:
    return settings.model_dump_json(warnings=False)


class _Watched(SharedEncodings):
    """Stands in for a backbone; a request that nobody waits for ends before each call."""

    def encode_images(self, pixels: Float[torch.Tensor, "b 3 H W"]) -> ImageFeatures:
        """As the backbone's own; equal pixels are encoded once, as long as they are remembered."""
        go_on()
        return super().encode_images(pixels)

    def match(self, features: Any, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None) -> Match:
        """As the backbone's own."""
        go_on()
        return self.inner.match(features, prompts, reading)
