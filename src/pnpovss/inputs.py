"""From a photo and some names to what a backbone reads: normalised pixels and tokenised prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import Backbone
from pnpovss.config import Config
from pnpovss.images import ImageSource, load_image
from pnpovss.names import Name, NameLike, parse_names
from pnpovss.prompts import Prompt, build_prompts

__all__ = ["Inputs", "blank_patches", "input_size", "prepare", "to_pixels"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """An image and its names, as the backbone reads them.

    Attributes:
        image: the photo, RGB, at its own size.
        names: what to look for.
        prompts: usually one; several when the names do not fit into one.
        pixels: Float "1 3 H W", normalised, on the backbone's device.
    """

    image: Image.Image
    names: tuple[Name, ...]
    prompts: tuple[Prompt, ...]
    pixels: Float[Tensor, "1 3 H W"]

    @property
    def name_tokens(self) -> list[tuple[int, ...]]:
        """For each name, its tokens, counted through all prompts in order."""
        return self._through_all("name_tokens")

    @property
    def word_tokens(self) -> list[tuple[int, ...]]:
        """For each word, its tokens, counted through all prompts in order."""
        return self._through_all("word_tokens")

    @property
    def words(self) -> tuple[str, ...]:
        """The words of all prompts in order."""
        return tuple(word for prompt in self.prompts for word in prompt.words)

    def _through_all(self, attribute: str) -> list[tuple[int, ...]]:
        groups, start = [], 0
        for prompt in self.prompts:
            groups += [tuple(start + token for token in group) for group in getattr(prompt, attribute)]
            start += len(prompt.tokens)
        return groups


def prepare(source: ImageSource, names: Sequence[NameLike], backbone: Backbone, config: Config) -> Inputs:
    """Check the names, write the prompts, load the photo and bring it to the backbone's size.

    Raises:
        NamesError: no names, empty ones, duplicates, or too long for the text encoder.
        ImageError: a photo that cannot be read.
    """
    assert config.image_size is not None
    parsed = parse_names(names)
    prompts = build_prompts(parsed, backbone.tokenize, backbone.max_tokens, squash=config.squash_names)
    image = load_image(source)
    size = input_size(image, config.image_size, backbone.patch, config.keep_aspect)
    return Inputs(image, parsed, prompts, to_pixels(image, size, backbone))


def input_size(image: Image.Image, side: int, patch: int, keep_aspect: bool) -> tuple[int, int]:
    """(height, width) in pixels at which a backbone reads the image; multiples of `patch`.

    Args:
        image: the photo.
        side: side of the square input.
        patch: pixels along one side of a patch.
        keep_aspect: keep the proportions at about the area of the square; none beyond 4 : 1.
    """
    if not keep_aspect:
        return side, side
    stretch = min(max(image.height / image.width, 0.25), 4.0) ** 0.5
    height, width = (max(1, round(extent / patch)) * patch for extent in (side * stretch, side / stretch))
    return height, width


def to_pixels(image: Image.Image, size: tuple[int, int], backbone: Backbone) -> Float[Tensor, "1 3 H W"]:
    """Resize (bicubic) and normalise with the backbone's own mean and standard deviation."""
    height, width = size
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    values = torch.from_numpy(np.array(resized, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(channel).view(3, 1, 1) for channel in (backbone.mean, backbone.std))
    return ((values - mean) / std)[None].contiguous().to(backbone.device)


def blank_patches(pixels: Float[Tensor, "b 3 H W"], kept: Bool[Tensor, "b gh gw"]) -> Float[Tensor, "b 3 H W"]:
    """Replace the dropped patches by the mean colour (0, since pixels are normalised), as the authors do."""
    if bool(kept.all()):
        return pixels
    height, width = pixels.shape[2] // kept.shape[1], pixels.shape[3] // kept.shape[2]
    mask = kept.repeat_interleave(height, 1).repeat_interleave(width, 2)
    return pixels * mask[:, None]
