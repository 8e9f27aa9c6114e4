"""A dual encoder of one's choice decides: any CLIP or SigLIP checkpoint of transformers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.errors import PresenceError
from pnpovss.images import load_image
from pnpovss.matching import best_synonyms
from pnpovss.names import Name
from pnpovss.presence.base import Photo, Presence, Report, few_digits
from pnpovss.presence.rules import Rule
from pnpovss.presence.spec import PresenceContext, PresenceSpec

if TYPE_CHECKING:
    from pnpovss.backbones.dual_encoder import DualEncoder

__all__ = ["CLIP", "CLIP_RULE", "SIGLIP_RULE", "Clip"]

# A softmax over the names: they share a probability of 1, so several can pass, but few.
CLIP_RULE = Rule(above=0.1)
# A sigmoid for each name, trained with far more absent than present texts, hence low.
SIGLIP_RULE = Rule(above=0.1)

TEMPLATE = "a photo of a {}."


class Clip:
    """Scores in [0, 1]: softmax over the names (CLIP) or a sigmoid for each (SigLIP), a name by its best synonym.

    Attributes:
        encoder: embeds photos and names.
        rule: turns scores into a decision.
    """

    def __init__(self, encoder: "DualEncoder", rule: Rule | None = None) -> None:
        self.encoder = encoder
        self.rule = rule or (SIGLIP_RULE if encoder.checkpoint.kind == "siglip" else CLIP_RULE)
        self._known: tuple[tuple[Name, ...], Float[Tensor, "t d"]] | None = None
        self._photos = 0

    @property
    def key(self) -> str:
        """The checkpoint, a few digits of a checksum of its revision, and the rule."""
        return f"clip:{self.encoder.name}@{few_digits(self.encoder.checkpoint.revision)}:{self.rule}"

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """See `PresenceFilter.decide`."""
        seen = self.encoder.embed_images([load_image(photo.image)])
        cosines = (seen @ self._texts(tuple(names)).T)[0]
        self._photos += 1
        best = torch.tensor(best_synonyms(cosines.tolist(), names))
        scores = tuple(self._probabilities(best).tolist())
        return Presence(self.rule.keep(scores), scores)

    def report(self) -> Report:
        """How many photos were looked at."""
        return {"photos": self._photos}

    def _probabilities(self, cosines: Float[Tensor, " name"]) -> Float[Tensor, " name"]:
        checkpoint = self.encoder.checkpoint
        logits = cosines * checkpoint.scale + checkpoint.bias
        return logits.sigmoid() if checkpoint.kind == "siglip" else logits.softmax(0)

    def _texts(self, names: tuple[Name, ...]) -> Float[Tensor, "t d"]:
        """Unit vectors of all words, one name's synonyms after the other; kept for the next photo."""
        if self._known is None or self._known[0] != names:
            words = [TEMPLATE.format(word) for name in names for word in name.all]
            self._known = (names, self.encoder.embed_texts(words))
        return self._known[1]


def _make(argument: str, context: PresenceContext) -> Clip:
    if not argument:
        raise PresenceError("'clip' needs more: clip:MODEL")
    from pnpovss.backbones.dual_encoder import load_dual_encoder  # here, because importing transformers takes seconds

    return Clip(load_dual_encoder(argument, context.load), context.rule)


CLIP = PresenceSpec(
    key="clip", summary="clip:MODEL, a CLIP or SigLIP checkpoint of transformers: hub id or folder", make=_make
)
