"""How well single names match images, by the model's own matching head."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, ImageFeatures, Reading, TextTokens, TokenMaps, some_of
from pnpovss.config import Settings
from pnpovss.errors import ModelError
from pnpovss.names import Name
from pnpovss.prompts import Prompts, build_prompts

__all__ = [
    "best_synonyms",
    "match_and_attention",
    "match_names",
    "match_texts",
    "refuse_what_is_not_finite",
    "single_prompts",
    "single_words",
]

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
    """The texts of `single_prompts`."""
    return [prompt.tokens[0] for prompt in single_prompts(backbone, names, squash=squash)]


def single_prompts(backbone: Backbone, names: Sequence[Name], *, squash: bool = False) -> list[Prompts]:
    """A prompt for each word of each name, synonyms included, as the backbone wants to be asked.

    Raises:
        NamesError: a name that is too long for the text encoder, or that its vocabulary cannot write.
    """
    card, words = backbone.card, [Name(word) for name in names for word in name.all]
    return [
        build_prompts([word], backbone.tokenize, card.max_tokens, squash=squash, wording=card.prompt) for word in words
    ]


def match_texts(
    backbone: Backbone, features: ImageFeatures, texts: Sequence[Sequence[TextTokens]]
) -> list[Float[Tensor, " _text"]]:
    """The match probability of each text of each image, a bounded number of texts at a time.

    Args:
        backbone: the model.
        features: of b images.
        texts: for each of the b images, its texts, at least one.

    Raises:
        ModelError: the model answers with numbers that are not finite.
    """
    parts: list[list[Tensor]] = [[] for _ in texts]
    for start in range(0, max(map(len, texts)), BATCH):
        left = [image for image, own in enumerate(texts) if len(own) > start]
        some = [texts[image][start : start + BATCH] for image in left]
        found = backbone.match(some_of(features, left), some).probability
        refuse_what_is_not_finite(backbone, "match scores", found)
        for image, own in zip(left, found, strict=True):
            parts[image].append(own)
    return [torch.cat(of_image) for of_image in parts]


def match_and_attention(
    backbone: Backbone, features: ImageFeatures, prompts: Sequence[Prompts]
) -> tuple[Float[Tensor, "b prompt"], Float[Tensor, "b prompt"]]:
    """The match probability of each prompt, and how much of its name's attention falls on patches, in [0, 1].

    What is left of the attention falls on the image's global tokens. It is the mean over the tokens of the name, all
    layers that can be read and all their heads.

    Args:
        backbone: the model.
        features: of b images.
        prompts: each of one name.

    Raises:
        ModelError: the model answers with numbers that are not finite.
    """
    groups = backbone.card.read_together(backbone.card.heads)
    matches, shares = [], []
    for start in range(0, len(prompts), BATCH):
        some = prompts[start : start + BATCH]
        texts = [[prompt.tokens[0] for prompt in some]] * len(features)
        found = [backbone.match(features, texts, Reading(layers, gradient=False)) for layers in groups]
        matches.append(torch.stack(found[0].probability))
        of_image = zip(*(each.maps for each in found), strict=True)
        shares.append(torch.stack([_on_names(maps, some) for maps in of_image]))
    probability, share = torch.cat(matches, 1), torch.cat(shares, 1)
    refuse_what_is_not_finite(backbone, "match scores or attention", (probability, share))
    return probability, share


def _on_names(found: Sequence[TokenMaps], prompts: Sequence[Prompts]) -> Float[Tensor, " prompt"]:
    """The attention of the tokens of each prompt's name on one image's patches, the mean over tokens and heads."""
    heads = [maps.attention.float().sum((-2, -1)).flatten(0, 1) for maps in found]  # of "head token"
    tokens = torch.cat(heads).mean(0).split([len(prompt.tokens[0]) for prompt in prompts])
    return torch.stack([own[list(prompt.name_tokens[0])].mean() for own, prompt in zip(tokens, prompts, strict=True)])


def refuse_what_is_not_finite(backbone: Backbone, what: str, values: Sequence[Tensor]) -> None:
    """Say that it is the model's fault, before it is taken for the caller's.

    Raises:
        ModelError: it answered with `what` that is not finite.
    """
    finite = torch.stack([torch.isfinite(each).all() for each in values])
    if not bool(finite.all()):  # asked once: a GPU has to be waited for
        raise ModelError(
            f"{backbone.card.name} gives {what} that are not finite; is its checkpoint damaged? (It computes in "
            f"{str(backbone.card.dtype).removeprefix('torch.')}; float32 rounds less.)"
        )


def best_synonyms(scores: Sequence[float], names: Sequence[Name]) -> tuple[float, ...]:
    """Each name's greatest score over its words, which stand one name's after the other's."""
    best, start = [], 0
    for name in names:
        best.append(max(scores[start : start + len(name.all)]))
        start += len(name.all)
    return tuple(best)
