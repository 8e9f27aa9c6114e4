"""Prompts nested by image, as callers give them, and rows of pairs, as models compute them."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pnpovss.backbones.base import Reading, TextTokens, TokenMaps
from pnpovss.errors import ConfigError, InvalidInputError, NamesError

__all__ = [
    "NOTHING",
    "by_image",
    "checked",
    "chunks",
    "flatten",
    "for_graph",
    "last_layer",
    "pad_prompts",
    "token_maps",
]

Nested = Sequence[Sequence[TextTokens]]

NOTHING = Reading((), gradient=False)
"""To be read: the match alone."""


def flatten(prompts: Nested, images: int) -> tuple[list[TextTokens], list[int]]:
    """All prompts in a row, and the image of each.

    Raises:
        InvalidInputError: lists of prompts for another number of images, or no prompt at all.
    """
    if len(prompts) != images:
        raise InvalidInputError(f"{images} images need {images} lists of prompts, one for each; got {len(prompts)}")
    flat = [prompt for of_image in prompts for prompt in of_image]
    if not flat:
        raise InvalidInputError("no prompts were given: matching needs at least one")
    return flat, [image for image, of_image in enumerate(prompts) for _ in of_image]


def chunks(prompts: Nested, most: int) -> list[tuple[int, slice]]:
    """(image, rows of the flat list) of what is computed at once: prompts of one image, at most so many."""
    parts, first = [], 0
    for image, own in enumerate(prompts):
        end = first + len(own)
        parts += [(image, slice(start, min(start + most, end))) for start in range(first, end, most)]
        first = end
    return parts


def pad_prompts(
    prompts: Sequence[TextTokens], pad_id: int, max_tokens: int, device: torch.device | None = None
) -> tuple[Int[Tensor, "p t"], Bool[Tensor, "p t"]]:
    """Ids filled up to the longest prompt, and which of them are real.

    Raises:
        NamesError: a prompt is longer than the encoder reads.
        InvalidInputError: no prompts.
    """
    if not prompts:
        raise InvalidInputError("no texts were given: give at least one")
    lengths = [len(prompt) for prompt in prompts]
    longest = max(lengths)
    if longest > max_tokens:
        raise NamesError(
            f"a prompt of {longest} tokens is longer than the {max_tokens} that this text encoder reads: "
            "give fewer or shorter names"
        )
    ids = torch.tensor([[*prompt.ids, *[pad_id] * (longest - len(prompt))] for prompt in prompts], device=device)
    return ids, torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]


def checked(reading: Reading | None, heads: Mapping[int, int]) -> Reading:
    """What is to be read; None is nothing but the match.

    Args:
        reading: as `Backbone.match` was given it.
        heads: of each layer that can be read, by 0-based index.

    Raises:
        ConfigError: a layer that cannot be read, one named twice, or different numbers of heads.
    """
    reading = reading or NOTHING
    _check_layers(heads, reading.layers)
    return reading


def _check_layers(heads: Mapping[int, int], layers: Sequence[int]) -> None:
    if unknown := [layer for layer in layers if layer not in heads]:
        raise ConfigError(f"layer {unknown[0]} cannot be read; these can, counted from 0: {sorted(heads)}")
    if len(set(layers)) < len(layers):
        raise ConfigError(f"layers {list(layers)} name one twice")
    if len({heads[layer] for layer in layers}) > 1:
        found = {layer: heads[layer] for layer in layers}
        raise ConfigError(f"these layers have different numbers of heads, read them one by one: {found}")


def last_layer(heads: Mapping[int, int], layers: int) -> tuple[int, ...]:
    """See `Card.gradientless`: the last of so many layers, where it can be read, if the match is read from one token.

    What another token sees moves that one only through the layers above.
    """
    return tuple(layer for layer in heads if layer == layers - 1)


def for_graph(made: Tensor) -> Tensor:
    """The same numbers, fit to enter a graph: what was made under `torch.inference_mode` is copied.

    To be called outside of that mode, as in `with torch.inference_mode(False)`.
    """
    return made.clone() if made.is_inference() else made


def by_image(rows: Float[Tensor, " p *rest"], prompts: Nested) -> tuple[Tensor, ...]:
    """One row per prompt, split by image."""
    return rows.split([len(of_image) for of_image in prompts])


def token_maps(
    attention: Float[Tensor, "p layer head token gh gw"],
    gradient: Float[Tensor, "p layer head token gh gw"] | None,
    prompts: Nested,
    composed: Float[Tensor, "p layer head token gh gw"] | None = None,
) -> tuple[TokenMaps, ...]:
    """One row per prompt, as the maps of each image: padding removed, the tokens of its prompts in a row.

    Args:
        attention: tokens past the end of a shorter prompt are padding.
        gradient: the same shape, or None.
        prompts: of each image.
        composed: see `TokenMaps`.
    """
    nothing = [None] * len(prompts)
    parts = [nothing if rows is None else _joined(rows, prompts) for rows in (gradient, composed)]
    return tuple(TokenMaps(*each) for each in zip(_joined(attention, prompts), *parts, strict=True))


def _joined(rows: Float[Tensor, "p layer head token gh gw"], prompts: Nested) -> list[Tensor]:
    joined = []
    for of_image, own in zip(prompts, by_image(rows, prompts), strict=True):
        parts = [row[:, :, : len(prompt)] for row, prompt in zip(own, of_image, strict=True)]
        nothing = rows.new_zeros(*rows.shape[1:3], 0, *rows.shape[4:])
        joined.append(torch.cat(parts, 2) if len(parts) > 1 else next(iter(parts), nothing))
    return joined
