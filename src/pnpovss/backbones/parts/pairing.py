"""Prompts nested by image, as callers give them, and rows of pairs, as models compute them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import TextTokens, TokenMaps
from pnpovss.errors import InvalidInputError

__all__ = ["by_image", "flatten", "token_maps"]

Nested = Sequence[Sequence[TextTokens]]


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


def by_image(rows: Float[Tensor, " p *rest"], prompts: Nested) -> tuple[Tensor, ...]:
    """One row per prompt, split by image."""
    return rows.split([len(of_image) for of_image in prompts])


def token_maps(
    attention: Float[Tensor, "p layer head token gh gw"],
    gradient: Float[Tensor, "p layer head token gh gw"] | None,
    prompts: Nested,
) -> tuple[TokenMaps, ...]:
    """One row per prompt, as the maps of each image: padding removed, the tokens of its prompts in a row.

    Args:
        attention: tokens past the end of a shorter prompt are padding.
        gradient: the same shape, or None.
        prompts: of each image.
    """
    maps = _joined(attention, prompts)
    grads = [None] * len(maps) if gradient is None else _joined(gradient, prompts)
    return tuple(TokenMaps(seen, grad) for seen, grad in zip(maps, grads, strict=True))


def _joined(rows: Float[Tensor, "p layer head token gh gw"], prompts: Nested) -> list[Tensor]:
    joined = []
    for of_image, own in zip(prompts, by_image(rows, prompts), strict=True):
        parts = [row[:, :, : len(prompt)] for row, prompt in zip(own, of_image, strict=True)]
        nothing = rows.new_zeros(*rows.shape[1:3], 0, *rows.shape[4:])
        joined.append(torch.cat(parts, 2) if len(parts) > 1 else next(iter(parts), nothing))
    return joined
