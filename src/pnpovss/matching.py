"""How well single names match images, by the model's own matching head."""

from collections.abc import Sequence

import torch

from pnpovss.backbones.base import Backbone, ImageFeatures, TextTokens
from pnpovss.config import Settings
from pnpovss.errors import ModelError
from pnpovss.inputs import ask
from pnpovss.names import Name

__all__ = ["match_names"]

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
    words = [[Name(word) for name in of_image for word in name.all] for of_image in names]
    texts = [[ask([word], backbone, settings).tokens[0] for word in of_image] for of_image in words]
    return [
        _best_synonyms(scores, of_image)
        for scores, of_image in zip(_probabilities(backbone, features, texts), names, strict=True)
    ]


def _probabilities(
    backbone: Backbone, features: ImageFeatures, texts: Sequence[Sequence[TextTokens]]
) -> list[list[float]]:
    """The match probability of each text of each image, a bounded number of texts at a time."""
    scores: list[list[float]] = [[] for _ in texts]
    for start in range(0, max(map(len, texts)), BATCH):
        part = [of_image[start : start + BATCH] for of_image in texts]
        found = backbone.match(features, part).probability
        if not all(bool(torch.isfinite(each).all()) for each in found):
            raise ModelError(f"{backbone.card.name} gives match scores that are not finite; is its checkpoint damaged?")
        for own, each in zip(scores, found, strict=True):
            own += each.tolist()
    return scores


def _best_synonyms(scores: Sequence[float], names: Sequence[Name]) -> tuple[float, ...]:
    """Each name's greatest score over its words."""
    best, start = [], 0
    for name in names:
        best.append(max(scores[start : start + len(name.all)]))
        start += len(name.all)
    return tuple(best)
