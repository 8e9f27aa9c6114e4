"""From a photo and some names to what a backbone reads: normalised pixels, and names that it can read."""

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import Backbone, Card
from pnpovss.config import Settings
from pnpovss.errors import NamesError
from pnpovss.images import ImageSource, load_image
from pnpovss.names import Name, NameLike, parse_names
from pnpovss.prompts import Prompts, build_prompts
from pnpovss.saliency.views import take_view, views_of

__all__ = ["Inputs", "ask", "batches", "each_explained", "input_size", "prepare", "to_pixels"]

_Found = TypeVar("_Found")


@dataclass(frozen=True, eq=False)
class Inputs:
    """An image, as the backbone reads it, and what to look for in it.

    Attributes:
        image: the photo, RGB, at its own size.
        names: what to look for.
        pixels: Float "view 3 H W", normalised, on the backbone's device; the whole photo as it is comes first.
        present: indices of the names that somebody holds to be there; None where nobody said.
    """

    image: Image.Image
    names: tuple[Name, ...]
    pixels: Float[Tensor, "view 3 H W"]
    present: tuple[int, ...] | None = None


def prepare(
    source: ImageSource,
    names: Sequence[NameLike],
    card: Card,
    settings: Settings,
    present: Sequence[int] | None = None,
) -> Inputs:
    """Check the names, load the photo and bring each view of it to the backbone's size.

    Raises:
        NamesError: no names, empty ones, duplicates, or an index of a name that was not asked for.
        ImageError: a photo that cannot be read.
    """
    parsed = parse_names(names)
    there = None if present is None else _indices(present, len(parsed))
    image = load_image(source)
    size = input_size(image, settings.image_size, card, settings.keep_aspect)
    shown = [take_view(image, view) for view in views_of(settings.views)]
    pixels = torch.cat([to_pixels(each, size, card) for each in shown])
    return Inputs(image, parsed, pixels, there)


def _indices(present: Iterable[object], names: int) -> tuple[int, ...]:
    """Ascending. True and False are none: a mask of names would be taken for the first two of them."""
    given = list(present)
    try:
        if any(isinstance(each, bool | np.bool_) for each in given):
            raise TypeError
        indices = {operator.index(each) for each in given}  # type: ignore[call-overload]
    except TypeError:
        raise NamesError(f"present takes indices of names, such as [0, 2], got {given!r:.200}") from None
    if not indices <= set(range(names)):
        raise NamesError(f"present names the indices {sorted(indices)}, but {names} names were given")
    return tuple(sorted(indices))


def batches(images: Iterable[Inputs], size: int) -> Iterator[list[Inputs]]:
    """Neighbours of one input size, at most `size` at a time, in order, each batch as soon as it is full.

    Where an image raises, those before it still come.
    """
    batch: list[Inputs] = []
    source = iter(images)
    while True:
        try:
            image = next(source, None)
        except Exception:
            if batch:
                yield batch
            raise
        if batch and (image is None or batch[0].pixels.shape != image.pixels.shape):
            yield batch
            batch = []
        if image is None:
            return
        batch.append(image)
        if len(batch) == size:
            yield batch
            batch = []


def each_explained(
    batch: Sequence[Inputs], explain: Callable[[Sequence[Inputs]], list[_Found]]
) -> Iterator[tuple[Inputs, _Found]]:
    """Each image of a batch with what `explain` finds of it.

    Where the model cannot read the names of one, those before it still come: then each is explained alone.
    """
    try:
        found: Iterable[_Found] = explain(batch)
    except NamesError:
        found = (explain([each])[0] for each in batch)
    yield from zip(batch, found, strict=True)


def ask(names: Sequence[Name], backbone: Backbone, settings: Settings) -> Prompts:
    """The prompts that ask a backbone for some names.

    Raises:
        NamesError: a name that is too long for the text encoder, or that its vocabulary cannot write.
    """
    card, answer = backbone.card, settings.read != "names"
    prompts = build_prompts(
        names,
        backbone.tokenize,
        card.max_tokens,
        squash=settings.squash_names,
        joint=card.joint_prompt and not answer,
        wording=card.prompt,
    )
    return Prompts(tuple(each.read_at(card.answer) for each in prompts.each)) if answer else prompts


def input_size(image: Image.Image, side: int, card: Card, keep_aspect: bool) -> tuple[int, int]:
    """(height, width) in pixels at which a backbone reads the image; multiples of its patch.

    Args:
        image: the photo.
        side: side of the square input.
        card: of the backbone.
        keep_aspect: keep the proportions at about the area of the square, or less where a side would be longer than the
            backbone reads; none beyond 4 : 1.
    """
    if not keep_aspect:
        return side, side
    stretch = min(max(image.height / image.width, 0.25), 4.0) ** 0.5
    longest = side * max(stretch, 1 / stretch)
    side = side * min(1, (card.longest_side or longest) / longest)
    height, width = (max(1, round(extent / card.patch)) * card.patch for extent in (side * stretch, side / stretch))
    return height, width


def to_pixels(image: Image.Image, size: tuple[int, int], card: Card) -> Float[Tensor, "1 3 H W"]:
    """Resize (bicubic) to (height, width) and normalise with the backbone's own mean and standard deviation."""
    height, width = size
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    values = torch.from_numpy(np.array(resized, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (values.new_tensor(channel).view(3, 1, 1) for channel in (card.mean, card.std))
    return ((values - mean) / std)[None].contiguous().to(card.device)
