"""How well single names match images, by the model's own matching head."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, ImageFeatures, TextTokens
from pnpovss.config import Settings
from pnpovss.errors import ModelError
from pnpovss.names import Name
from pnpovss.prompts import build_prompts

__all__ = ["best_synonyms", "match_names", "match_texts", "single_words"]

BATCH = 64  # prompts matched at once with one image; bounds the memory of large vocabularies


def match_names(
    backbone: Backbone, features: ImageFeatures, names: Sequence[Sequence[Name]], settings: Settings
) -> list[tuple[float, ...]]:
    """Probability in [0, 1] that "A picture of <name>" matches, name by name; a name's best synonym decides.

    Args:
        backbone: the model.
        features: of b images.
        names: for each of the b images, its names.
        settings: how names are written.

    Raises:
        NamesError: a name that is too long for the text encoder, or that its vocabulary cannot write.
        ModelError: the model answers with numbers that are not finite.
    """
    texts = [single_words(backbone, of_image, squash=settings.squash_names) for of_image in names]
    scores = match_texts(backbone, features, texts)
    return [best_synonyms(own.tolist(), of_image) for own, of_image in zip(scores, names, strict=True)]


def single_words(backbone: Backbone, names: Sequence[Name], *, squash: bool = False) -> list[TextTokens]:
    """A prompt for each word of each name, synonyms included, as the backbone wants to be asked.

    Raises:
        NamesError: a name that is too long for the text encoder, or that its vocabulary cannot write.
    """
    card, words = backbone.card, [Name(word) for name in names for word in name.all]
    return [
        build_prompts([word], backbone.tokenize, card.max_tokens, squash=squash, wording=card.prompt).tokens[0]
        for word in words
    ]


def match_texts(
    backbone: Backbone, features: ImageFeatures, texts: Sequence[Sequence[TextTokens]]
) -> list[Float[Tensor, " _text"]]:
    """The match probability of each text of each image, a bounded number of texts at a time.

    Args:
        backbone: the model.
        features: of b images.
        texts: for each of the b images, its texts.

    Raises:
        ModelError: the model answers with numbers that are not finite.
    """
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, max(map(len, texts)), BATCH):
        found = backbone.match(features, [of_image[start : start + BATCH] for of_image in texts]).probability
        if not all(bool(torch.isfinite(each).all()) for each in found):
            raise ModelError(f"{backbone.card.name} gives match scores that are not finite; is its checkpoint damaged?")
        parts.append(found)
    return [torch.cat(of_image) for of_image in zip(*parts, strict=True)]


def best_synonyms(scores: Sequence[float], names: Sequence[Name]) -> tuple[float, ...]:
    """Each name's greatest score over its words, which stand one name's after the other's."""
    best, start = [], 0
    for name in names:
        best.append(max(scores[start : start + len(name.all)]))
        start += len(name.all)
    return tuple(best)
