"""The segmenting model decides for itself: by its matching head (ITM), its contrastive heads (ITC), both, or attention.

Every word of the vocabulary becomes a prompt of its own, as the backbone's card words it ("A picture of <word>"); a
name scores as its best synonym. The photo is encoded once, whatever the size of the vocabulary.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, ImageFeatures, TextTokens, is_contrastive
from pnpovss.config import Config
from pnpovss.errors import PresenceError
from pnpovss.images import load_image
from pnpovss.inputs import input_size, to_pixels
from pnpovss.matching import BATCH, best_synonyms, match_and_attention, match_texts, single_prompts
from pnpovss.names import Name
from pnpovss.presence.base import Photo, Presence, Report
from pnpovss.presence.rules import Rule, parse_rule
from pnpovss.presence.spec import PresenceContext, PresenceSpec
from pnpovss.prompts import Prompts
from pnpovss.saliency.views import CORNERS, WHOLE, View, take_view

__all__ = ["ATTENTION", "BOTH", "BOTH_RULE", "ITC", "ITC_RULE", "ITM", "ITM_RULE", "Attention", "Both", "Itc", "Itm"]

# Matching heads are trained on pairs of which about half match; of a vocabulary, a tenth or less is in a photo. By
# Bayes' rule a name is then more likely there than not from 0.9 up, not from 0.5. Photos with captions agree.
ITM_RULE = Rule(above=0.9)
# Cosines have no natural threshold, and their level differs from photo to photo: what is nearly as near as the best.
ITC_RULE = Rule(within=0.05)
# The scores of both together are near to probabilities: a logistic regression on photos with image-level labels.
BOTH_RULE = Rule(above=0.5)


# A share of the attention that leaves nothing for a global token but rounding.
_ALL = 1 - 1e-6


class _VisionLanguage:
    """What both filters share: one encoding a photo, one tokenisation a vocabulary.

    Attributes:
        backbone: looks and reads.
        rule: turns scores into a decision.
        views: the looks taken at a photo.
    """

    prefix: str
    views: tuple[View, ...] = (WHOLE,)

    def __init__(self, backbone: Backbone, rule: Rule, config: Config | None = None) -> None:
        self.backbone = backbone
        self.rule = rule
        self._size = (config.image_size if config else None) or backbone.card.recommended.image_size
        self._keep_aspect = config.keep_aspect if config else False
        self._squash = config.squash_names if config else False
        self._prompts: tuple[Prompts, ...] = ()
        self._texts: tuple[TextTokens, ...] = ()
        self._read_of: tuple[Name, ...] = ()
        self._photos = 0

    @property
    def key(self) -> str:
        """The filter with its rule."""
        return f"{self.prefix}:{self.rule}"

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """See `PresenceFilter.decide`."""
        image = load_image(photo.image)
        size = input_size(image, self._size, self.backbone.card, self._keep_aspect)
        shown = [to_pixels(take_view(image, view), size, self.backbone.card) for view in self.views]
        features = self.backbone.encode_images(torch.cat(shown))
        scores = best_synonyms(self._score(features, self._read(tuple(names))), names)
        self._photos += 1
        return Presence(self.rule.keep(scores), scores)

    def report(self) -> Report:
        """How many photos were looked at."""
        return {"photos": self._photos}

    def _score(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> list[float]:
        """One score per text, of the views of one image in `features`."""
        raise NotImplementedError

    def _read(self, names: tuple[Name, ...]) -> tuple[TextTokens, ...]:
        """The words of the vocabulary, synonyms included; those of the photo before, if its names are the same."""
        if self._read_of != names:
            self._read_of = names
            self._prompts = tuple(single_prompts(self.backbone, names, squash=self._squash))
            self._texts = tuple(prompt.tokens[0] for prompt in self._prompts)
        return self._texts


class Itm(_VisionLanguage):
    """Scores are match probabilities in [0, 1]: the matching head reads photo and prompt together."""

    prefix = "itm"

    def _score(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> list[float]:
        return match_texts(self.backbone, features, [texts])[0].tolist()


class Itc(_VisionLanguage):
    """Scores are cosines in [-1, 1] of the contrastive heads: photo and prompt are read apart.

    The texts of a vocabulary are embedded once.
    """

    prefix = "itc"

    def __init__(self, backbone: Backbone, rule: Rule, config: Config | None = None) -> None:
        super().__init__(backbone, rule, config)
        self._embedded: tuple[tuple[TextTokens, ...], Float[Tensor, "t d"]] | None = None

    def _score(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> list[float]:
        return self._cosines(features, texts)[0].tolist()

    def _cosines(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> Float[Tensor, "view t"]:
        backbone = self.backbone
        if not is_contrastive(backbone):
            raise PresenceError(
                f"the model {backbone.card.name!r} has no contrastive heads for {self.prefix} to read; use itm, or "
                "clip:MODEL"
            )
        if self._embedded is None or self._embedded[0] is not texts:
            parts = [backbone.embed_texts(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
            self._embedded = (texts, torch.cat(parts))
        return (backbone.embed_images(features) @ self._embedded[1].T).float()


class Both(Itc):
    """Scores in (0, 1) of matching and contrastive heads together, over the photo and its mirror image.

    sigmoid((l + l - max l) / 4 + 4 (c - max c)), where l is the log odds of a match and c the cosine, both the mean
    over the views, and the greatest is that of all words. What a head thinks of a name counts beside what it thinks
    of the best one, since the level of both differs from photo to photo.
    """

    prefix = "itm+itc"
    views = (WHOLE, View(mirrored=True))

    def _score(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> list[float]:
        probabilities = torch.stack(match_texts(self.backbone, features, [texts] * len(self.views)))
        odds, cosines = _log_odds(probabilities).mean(0), self._cosines(features, texts).cpu().double().mean(0)
        return ((odds + _beside_best(odds)) / 4 + 4 * _beside_best(cosines)).sigmoid().tolist()


class Attention(Itc):
    """Both heads, and whether a name's tokens look at the photo at all: scores in (0, 1).

    sigmoid(l / 2 + 2.3 (c - max c) + a - 2), with l and c as in `Both`, and a the log odds of the share of attention
    that falls on patches: with nothing to look at, tokens turn to the image's global token. A small thing
    is seen best in the tile that it lies in: the mean of the photo and its mirror image, and the tile in which a name
    does best, count the same.
    """

    prefix = "itm+itc+attention"
    views = (WHOLE, View(mirrored=True), *CORNERS)

    def _score(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> list[float]:
        odds, cosines, looks = self.evidence(features, texts)
        return (odds / 2 + 2.3 * _beside_best(cosines) + looks - 2).sigmoid().tolist()

    def evidence(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> Float[Tensor, "3 t"]:
        """What the score is made of: l, c and a.

        Args:
            features: of the views of one image.
            texts: as they were tokenised last.

        Raises:
            PresenceError: the model has no global token to turn to, or no contrastive heads.
        """
        probabilities, shares = match_and_attention(self.backbone, features, self._prompts)
        if bool((shares > _ALL).all()):
            raise PresenceError(
                f"all attention of {self.backbone.card.name!r} falls on patches, whether a name is there or not, so "
                f"{self.prefix} cannot tell; use itm+itc"
            )
        seen = _log_odds(probabilities), self._cosines(features, texts).cpu().double(), _log_odds(shares)
        return torch.stack([(values[:2].mean(0) + values[2:].amax(0)) / 2 for values in seen])


def _log_odds(shares: Float[Tensor, "view t"]) -> Float[Tensor, "view t"]:
    return shares.cpu().double().clamp(1e-9, 1 - 1e-9).logit()


def _beside_best(values: Float[Tensor, " t"]) -> Float[Tensor, " t"]:
    return values - values.max()


def _check_rule(argument: str) -> None:
    if argument:
        parse_rule(argument)


def _spec(kind: type[_VisionLanguage], own: Rule, summary: str) -> PresenceSpec:
    """The registry's entry of a filter whose argument is its rule, `own` where none is given."""

    def make(argument: str, context: PresenceContext) -> _VisionLanguage:
        assert context.backbone is not None  # the registry sees to it
        rule = context.rule or (parse_rule(argument) if argument else own)
        return kind(context.backbone, rule, context.config)

    return PresenceSpec(key=kind.prefix, summary=summary, make=make, check=_check_rule, asks_model=True)


ITM = _spec(Itm, ITM_RULE, "the model's matching head, name by name; itm:0.8 keeps what exceeds 0.8")
ITC = _spec(Itc, ITC_RULE, "the model's contrastive heads; itc:within0.05 keeps what comes that near to the best")
BOTH = _spec(Both, BOTH_RULE, "the model's matching and contrastive heads together; itm+itc:0.4 keeps what exceeds 0.4")
ATTENTION = _spec(Attention, BOTH_RULE, "both heads, in tiles as well, and whether a name's tokens look at the photo")
