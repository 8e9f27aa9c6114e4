"""A dual encoder as a judge of whole photos and texts, not of where: any checkpoint that `dual` reads.

Photos are prepared with Pillow by what the checkpoint says of it, because transformers' processors want torchvision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.dual.checkpoint import DualCheckpoint, read_dual, unit
from pnpovss.backbones.parts.checkpoint import read_image_processor, refuse_other_values
from pnpovss.errors import CheckpointError

__all__ = ["DualEncoder", "Preprocessing", "load_dual_encoder"]

Picture = Image.Image | UInt8[np.ndarray, "h w 3"]

_LARGEST_SIDE = 4096  # of an input [px]; a file that asks for more is damaged


@dataclass(frozen=True)
class Preprocessing:
    """How a photo becomes pixels.

    Attributes:
        height: of the input [px].
        width: of the input [px].
        shorter: the photo is scaled until its shorter side has this length [px], and its middle is cut out; None
            squeezes the whole photo into the input.
        resample: Pillow's number of the filter (2 bilinear, 3 bicubic).
        mean: RGB, of values in [0, 1].
        std: RGB, above 0.
    """

    height: int
    width: int
    shorter: int | None
    resample: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, picture: Picture) -> Float[Tensor, "3 H W"]:
        """RGB picture of any size to normalised pixels."""
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        size = (self.width, self.height)
        if self.shorter is not None:
            scale = self.shorter / min(image.size)
            size = (max(self.width, round(image.width * scale)), max(self.height, round(image.height * scale)))
        image = image.resize(size, Image.Resampling(self.resample))
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        image = image.crop((left, top, left + self.width, top + self.height))
        values = np.asarray(image, dtype=np.float32) / 255
        values = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return torch.from_numpy(values).permute(2, 0, 1).contiguous()


class DualEncoder:
    """Embeds pictures and texts as unit vectors; how well two of them agree is `scale` * cosine + `bias`.

    Attributes:
        name: hub id or folder it was loaded by.
        checkpoint: what was loaded; tells revision, kind, scale and bias.
        preprocessing: how pictures become pixels.
    """

    def __init__(self, name: str, checkpoint: DualCheckpoint, preprocessing: Preprocessing) -> None:
        self.name = name
        self.checkpoint = checkpoint
        self.preprocessing = preprocessing

    @torch.no_grad()
    def embed_images(self, pictures: Sequence[Picture], batch: int = 32) -> Float[Tensor, "b d"]:
        """Float32 unit vectors of pictures on the model's device.

        Args:
            pictures: RGB, of any sizes.
            batch: how many are encoded at once.
        """
        parts = []
        for start in range(0, len(pictures), batch):
            pixels = torch.stack([self.preprocessing(picture) for picture in pictures[start : start + batch]])
            parts.append(self.embed_pixels(pixels))
        return torch.cat(parts)

    def squeeze(self, picture: Picture) -> Float[Tensor, "3 H W"]:
        """The pixels of a whole picture, where the checkpoint would cut its middle out."""
        return replace(self.preprocessing, shorter=None)(picture)

    @torch.no_grad()
    def embed_pixels(self, pixels: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Float32 unit vectors of pictures that are pixels already, all at once."""
        model = self.checkpoint.model
        pixels = pixels.to(model.device, model.dtype)
        if self.checkpoint.kind == "tipsv2":  # which was trained on values in [0, 1]
            pixels = pixels * 0.5 + 0.5
        return unit(model.get_image_features(pixel_values=pixels).pooler_output)

    def embed_texts(self, texts: Sequence[str], batch: int = 64) -> Float[Tensor, "t d"]:
        """Float32 unit vectors of texts on the model's device.

        Args:
            texts: as they are read, templates included.
            batch: how many are encoded at once.

        Raises:
            NamesError: a text is longer than the model reads.
            InvalidInputError: no texts.
        """
        return self.checkpoint.embed_texts([self.checkpoint.tokenizer(text) for text in texts], batch)


def load_dual_encoder(name: str, options: LoadOptions | None = None) -> DualEncoder:
    """Load a CLIP, MetaCLIP 2, SigLIP or TIPSv2 checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, files are missing or damaged, or it is of another architecture.
    """
    checkpoint = read_dual(name, options or LoadOptions())
    return DualEncoder(name, checkpoint, _read_preprocessing(checkpoint))


def _read_preprocessing(checkpoint: DualCheckpoint) -> Preprocessing:
    """Read what `read_image_processor` finds; sizes are a number, or an object of height and width or shortest_edge.

    TIPSv2's does not normalise; its pixels get mean and deviation 0.5 like those of the backbone, so that 0 is grey.
    """
    found = read_image_processor(checkpoint.folder)
    if found is None:
        raise CheckpointError(
            f"nothing in {checkpoint.folder} says how photos are prepared: expected processor_config.json with an "
            "image_processor, or preprocessor_config.json; copy it from the checkpoint's source"
        )
    path, given = found
    if checkpoint.kind == "tipsv2":
        own = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        given = {"resample": Image.Resampling.BILINEAR, **given, **own}
    refuse_other_values(path, given)
    crop = bool(given.get("do_center_crop", False))
    try:
        height, width = _height_width(given["crop_size"] if crop and "crop_size" in given else given["size"])
        shorter = min(_height_width(given["size"])) if crop else None
        mean, std = (tuple(float(value) for value in given[key]) for key in ("image_mean", "image_std"))
        (m0, m1, m2), (s0, s1, s2) = mean, std
        resample = Image.Resampling(given.get("resample", Image.Resampling.BICUBIC))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} does not say size, image_mean and image_std as expected ({error!r})") from error
    if not all(1 <= side <= _LARGEST_SIDE for side in (height, width, shorter or 1)):
        raise CheckpointError(f"{path} asks for {width} x {height} px; expected sides of 1 to {_LARGEST_SIDE}")
    if shorter is not None and shorter < max(height, width):
        raise CheckpointError(
            f"{path} cuts {width} x {height} px out of photos of {shorter} px, which do not hold them"
        )
    if not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise CheckpointError(f"{path} normalises with mean {mean} and std {std}; expected finite values, std above 0")
    return Preprocessing(height, width, shorter, int(resample), (m0, m1, m2), (s0, s1, s2))


def _height_width(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    edge = size.get("shortest_edge")
    return int(edge or size["height"]), int(edge or size["width"])
