"""The segmentation of one image, with its heat maps and its provenance."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Float, Integer

from pnpovss.config import Config
from pnpovss.names import Name

if TYPE_CHECKING:
    import supervision
    from PIL import Image

    from pnpovss.images import ImageSource
    from pnpovss.results.exports import CocoRegion, PipelineRegion

__all__ = ["BACKGROUND", "HeatMaps", "Provenance", "Segmentation"]

BACKGROUND = 0  # the label of pixels that are none of the names


@dataclass(frozen=True)
class HeatMaps:
    """Where each name, and each word of the prompt, leads the model to look; on the patch grid, before refinement.

    Attributes:
        names: Float32 "name gh gw", non-negative, the sum over the passes of Salience Dropout.
        words: the words of the prompt in order, prefix included; names in several prompts repeat the prefix.
        word_maps: Float32 "word gh gw", as `names`, of each word (mean over its tokens).
    """

    names: Float[np.ndarray, "name gh gw"]
    words: tuple[str, ...]
    word_maps: Float[np.ndarray, "word gh gw"]


@dataclass(frozen=True)
class Provenance:
    """All that is needed to say how a result came about, and to make it again.

    Attributes:
        model: name, hub id or folder as given.
        revision: commit or content hash of its weights, where known.
        preset: the preset's name.
        config: every setting, with the model's own layer, head and size filled in.
        settings_source: where the checkpoint's recommended settings come from.
        prompts: the texts the model read.
        device: such as "cpu" or "cuda:0".
        dtype: compute dtype, such as "float32".
        versions: of pnpovss, torch and transformers.
    """

    model: str
    revision: str | None
    preset: str
    config: Config
    settings_source: str
    prompts: tuple[str, ...]
    device: str
    dtype: str
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {**vars(self), "config": self.config.model_dump(mode="json"), "prompts": list(self.prompts)}


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One image, segmented by names.

    Attributes:
        labels: Integer "h w" (uint8, or uint16 beyond 255 labels) at the image's own size: 0 is the background,
            i + 1 is names[i]. Without a background (see `has_background`) no pixel is 0.
        scores: Float32 "name h w" in [0, 1], each name's probability after the last step that is on (CRF or softmax).
        background_score: Float32 "h w" in [0, 1]; None without a background. With `scores` it sums to 1 per pixel.
        names: the names, in the order asked.
        heatmaps: of names and words.
        match: probability in [0, 1] that the whole prompt matches the image (mean over prompts if there are several).
        name_match: the same for "A picture of <name>", name by name; None unless asked for.
        provenance: model, preset, settings, versions.
    """

    labels: Integer[np.ndarray, "h w"]
    scores: Float[np.ndarray, "name h w"]
    background_score: Float[np.ndarray, "h w"] | None
    names: tuple[Name, ...]
    heatmaps: HeatMaps
    match: float
    name_match: tuple[float, ...] | None
    provenance: Provenance

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.labels.shape[0], self.labels.shape[1]

    @property
    def has_background(self) -> bool:
        """Whether a pixel could be none of the names."""
        return self.background_score is not None

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Share of the image's pixels each name has, in [0, 1]."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.names) + 1)
        return tuple((counts[1:] / self.labels.size).tolist())

    def mask(self, name: str) -> np.ndarray:
        """Bool "h w": the pixels labelled with a name (or one of its synonyms).

        Raises:
            KeyError: the name was not asked for.
        """
        return self.labels == self.index(name) + 1

    def heatmap(self, name: str) -> Float[np.ndarray, "h w"]:
        """Float32 "h w": the heat map of a name, or of a word of the prompt, bilinear at the image's size.

        Raises:
            KeyError: neither a name nor a word of the prompt.
        """
        if any(name in asked.all for asked in self.names):
            small = self.heatmaps.names[self.index(name)]
        elif name in self.heatmaps.words:
            small = self.heatmaps.word_maps[self.heatmaps.words.index(name)]
        else:
            raise KeyError(f"{name!r} is not in the prompt; its words: {', '.join(self.heatmaps.words)}")
        return cv2.resize(small, self.size[::-1], interpolation=cv2.INTER_LINEAR)

    def index(self, name: str) -> int:
        """Position of a name (or one of its synonyms) in `names`.

        Raises:
            KeyError: the name was not asked for.
        """
        for i, asked in enumerate(self.names):
            if name in asked.all:
                return i
        raise KeyError(f"{name!r} was not asked for; names: {', '.join(map(str, self.names))}")

    # Exports. `pnpovss.results.exports` holds them; it is imported on use, because it builds on this module.

    def to_png(self) -> "Image.Image":
        """The label map as a picture with a palette; see `exports.to_png`."""
        return _exports().to_png(self)

    def overlay(self, photo: "ImageSource") -> "Image.Image":
        """The photo with the regions tinted and outlined, over a legend; see `exports.overlay`."""
        return _exports().overlay(self, photo)

    def heat_picture(self, photo: "ImageSource", name: str) -> "Image.Image":
        """The photo under the heat map of a name or word; see `exports.heat_picture`."""
        return _exports().heat_picture(self, photo, name)

    def to_coco_rle(self, *, compressed: bool = True) -> "list[CocoRegion]":
        """A run-length encoded region for each name that has pixels; see `exports.to_coco_rle`."""
        return _exports().to_coco_rle(self, compressed=compressed)

    def to_pipeline(self) -> "list[PipelineRegion]":
        """A list like transformers' image-segmentation pipeline gives; see `exports.to_pipeline`."""
        return _exports().to_pipeline(self)

    def to_supervision(self) -> "supervision.Detections":
        """Detections with one mask for each name that has pixels; see `exports.to_supervision`."""
        return _exports().to_supervision(self)

    def to_dict(self) -> dict[str, Any]:
        """All but the score and heat maps as JSON-ready values; see `exports.to_dict`."""
        return _exports().to_dict(self)

    def save(self, path: str | Path) -> None:
        """Write everything into one .npz file; see `exports.save`."""
        _exports().save(self, path)

    @staticmethod
    def load(path: str | Path) -> "Segmentation":
        """Read what `save` wrote; see `exports.load`."""
        return _exports().load(path)


def _exports() -> ModuleType:
    from pnpovss.results import exports

    return exports
