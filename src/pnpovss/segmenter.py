"""Segment images by words: the whole method of PnP-OVSS (arXiv 2311.17095) on one screen, `Segmenter.explain` down."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, ImageFeatures, LoadOptions, load_backbone
from pnpovss.config import Config, DropoutSettings
from pnpovss.errors import NamesError
from pnpovss.images import ImageSource
from pnpovss.inputs import Inputs, blank_patches, prepare
from pnpovss.loading import complete_config, parse_device, parse_dtype
from pnpovss.names import Name, NameLike
from pnpovss.prompts import build_prompts
from pnpovss.refine.pipeline import refine
from pnpovss.results.heatmaps import HeatMaps
from pnpovss.results.provenance import Provenance
from pnpovss.results.segmentation import Segmentation
from pnpovss.saliency.dropout import salience_dropout
from pnpovss.saliency.gradcam import attention_map
from pnpovss.saliency.tokens import merge_tokens

__all__ = ["Explained", "Segmenter"]

ONE_LOOK = DropoutSettings(passes=1)  # Salience Dropout off


@dataclass(frozen=True, eq=False)
class Explained:
    """Where the names lead the model to look in one image.

    Attributes:
        names: Float32 "name gh gw", non-negative, the sum over the passes of Salience Dropout.
        words: Float32 "word gh gw", the same for each word of the prompts.
        match: probability in [0, 1] that the prompt matches the whole image (mean over prompts).
        features: of the whole image (before anything was dropped), a batch of one.
    """

    names: Float[Tensor, "name gh gw"]
    words: Float[Tensor, "word gh gw"]
    match: float
    features: ImageFeatures


class Segmenter:
    """Segments images by words with one backbone and one set of settings.

    Attributes:
        backbone: the model whose cross-attention is read.
        config: every setting; layer, head and image size are filled in with the model's own where they were None.
        preset: the name of the preset that the settings started from.
    """

    def __init__(self, backbone: Backbone, config: Config | None = None, preset: str = "default") -> None:
        self.backbone = backbone
        self.preset = preset
        self.config = complete_config(_preset_for(backbone, preset) if config is None else config, backbone)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "mini",
        *,
        device: str = "auto",
        dtype: str = "float32",
        preset: str = "default",
        settings: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> "Segmenter":
        """Load a model and choose the settings.

        Args:
            model: a bundled name ("mini"), a hub id ("Salesforce/blip-itm-large-flickr"), or a checkpoint's folder.
            device: "cpu", "cuda", "cuda:1", "mps", or "auto": CUDA where there is one, else the CPU.
            dtype: "float32" (exact), or "bfloat16" (faster; labels differ a little).
            preset: "default" (ours), "paper", or "authors" (as the released code computes it).
            settings: values that replace the preset's, by dotted name: {"dropout.passes": 2, "crf": None}.
            without: steps to turn off: gradcam, dropout, threshold, background, blur, crf.
            local_files_only: never ask a hub.
            revision: of a hub id.

        Raises:
            UnknownModelError: no backbone knows the model.
            CheckpointError: its files are missing, incomplete or of another architecture.
            ConfigError: an unknown preset, setting, step, device or dtype.
        """
        Config.preset(preset, settings).without(*without)  # a typing error must not wait for a model to load
        options = LoadOptions(parse_device(device), parse_dtype(dtype), local_files_only, revision)
        backbone = load_backbone(model, options)
        return cls(backbone, _preset_for(backbone, preset).replace(settings or {}).without(*without), preset)

    @overload
    def __call__(self, image: ImageSource, names: Sequence[NameLike], *, name_match: bool = False) -> Segmentation: ...
    @overload
    def __call__(
        self,
        image: Sequence[ImageSource],
        names: Sequence[Sequence[NameLike]],
        *,
        name_match: bool = False,
        batch_size: int = 8,
    ) -> list[Segmentation]: ...
    def __call__(
        self,
        image: ImageSource | Sequence[ImageSource],
        names: Sequence[Any],
        *,
        name_match: bool = False,
        batch_size: int = 8,
    ) -> Segmentation | list[Segmentation]:
        """Segment one image by names, or a list of images, each by its own names.

        Args:
            image: a path, a PIL image, an RGB array "h w 3", or a list of these.
            names: what to look for ("cat", "potted plant", or synonyms as ["sofa", "couch"]); for a list of images, one
                such list each.
            name_match: also tell for each name alone how well it matches the image.
            batch_size: images the model reads at once. Results do not depend on it.

        Raises:
            ImageError: a photo that cannot be read.
            NamesError: no names, empty ones, duplicates, or too long for the text encoder.
        """
        if isinstance(image, str) or not isinstance(image, Sequence):
            inputs = prepare(image, names, self.backbone, self.config)
            return self._finish(inputs, self.explain([inputs])[0], name_match)
        if len(image) != len(names) or any(isinstance(each, (str, Name)) for each in names):
            raise NamesError(f"{len(image)} images need {len(image)} lists of names, one each; got {names!r:.200}")
        return list(self.stream(zip(image, names, strict=True), name_match=name_match, batch_size=batch_size))

    def stream(
        self,
        pairs: Iterable[tuple[ImageSource, Sequence[NameLike]]],
        *,
        name_match: bool = False,
        batch_size: int = 8,
    ) -> Iterator[Segmentation]:
        """Segment (image, names) pairs one after the other, holding no more than a batch in memory; see `__call__`."""
        prepared = (prepare(image, names, self.backbone, self.config) for image, names in pairs)
        for batch in _batches(prepared, batch_size):
            for inputs, explained in zip(batch, self.explain(batch), strict=True):
                yield self._finish(inputs, explained, name_match)

    def explain(self, images: Sequence[Inputs]) -> list[Explained]:
        """The saliency half of the method: GradCAM under Salience Dropout, for images of one input size."""
        pixels = torch.cat([image.pixels for image in images])  # b 3 H W
        prompts = [prompt for image in images for prompt in image.prompts]
        owner = [i for i, image in enumerate(images) for _ in image.prompts]
        layer, head = self.config.layer, self.config.head
        assert layer is not None
        assert head is not None
        dropout = self.config.dropout or ONE_LOOK
        whole: list[tuple[ImageFeatures, Tensor]] = []  # what the first look, at whole images, found

        def look(kept: Bool[Tensor, "b gh gw"]) -> list[Float[Tensor, "token gh gw"]]:
            features = self.backbone.encode_images(blank_patches(pixels, kept))
            tokens = [prompt.tokens for prompt in prompts]
            match = self.backbone.match(
                features, tokens, image_index=owner, layers=[layer], gradient=self.config.gradcam
            )
            if not whole:
                whole.append((features, match.probability))
            assert match.attention is not None
            padded = attention_map(match.attention, layer, head)  # p token gh gw
            maps = [m[: len(own)] for m, own in zip(padded, tokens, strict=True)]
            return [torch.cat([m for m, i in zip(maps, owner, strict=True) if i == n]) for n in range(len(images))]

        def rank(n: int, maps: Float[Tensor, "token gh gw"]) -> Float[Tensor, "gh gw"]:
            names = images[n].name_tokens
            if dropout.ranking == "tokens":
                return maps[[token for tokens in names for token in tokens]].sum(0)
            return merge_tokens(maps, names).sum(0)

        grid = [extent // self.backbone.patch for extent in pixels.shape[2:]]
        everything = torch.ones(len(images), *grid, dtype=torch.bool, device=pixels.device)
        totals = salience_dropout(look, rank, everything, dropout)
        [(features, match)] = whole
        return [
            Explained(
                names=merge_tokens(total, image.name_tokens),
                words=merge_tokens(total, image.word_tokens),
                match=float(match[[i == n for i in owner]].mean()),
                features=ImageFeatures(features.tokens[n : n + 1], features.grid, features.prefix),
            )
            for n, (image, total) in enumerate(zip(images, totals, strict=True))
        ]

    def match_names(self, features: ImageFeatures, names: Sequence[Name]) -> tuple[float, ...]:
        """Probability in [0, 1] that "A picture of <name>" matches one image, name by name."""
        tokenize, limit = self.backbone.tokenize, self.backbone.max_tokens
        prompts = [build_prompts([name], tokenize, limit, squash=self.config.squash_names)[0].tokens for name in names]
        match = self.backbone.match(features, prompts, image_index=[0] * len(prompts), gradient=False)
        return tuple(match.probability.tolist())

    def _finish(self, inputs: Inputs, explained: Explained, name_match: bool) -> Segmentation:
        refined = refine(explained.names, np.asarray(inputs.image), self.config)
        return Segmentation(
            labels=refined.labels,
            scores=refined.scores,
            background_score=refined.background_score,
            names=inputs.names,
            kept=tuple(range(len(inputs.names))),
            heatmaps=HeatMaps(explained.names.cpu().numpy(), inputs.words, explained.words.cpu().numpy()),
            match=explained.match,
            name_match=self.match_names(explained.features, inputs.names) if name_match else None,
            provenance=Provenance.of(
                self.backbone,
                preset=self.preset,
                config=self.config,
                prompts=tuple(prompt.text for prompt in inputs.prompts),
            ),
        )


def _preset_for(backbone: Backbone, preset: str) -> Config:
    """A preset; `default` also takes what the checkpoint was tuned to, `paper` and `authors` are the same for all."""
    return Config.preset(preset, backbone.recommended.settings if preset == "default" else {})


def _batches(images: Iterable[Inputs], batch_size: int) -> Iterator[list[Inputs]]:
    """Neighbours of one input size, at most `batch_size` at a time, in order."""
    batch: list[Inputs] = []
    for image in images:
        if batch and (len(batch) == batch_size or batch[0].pixels.shape != image.pixels.shape):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch
