"""Segment images by words: the whole method of PnP-OVSS (arXiv 2311.17095), from `Segmenter.explain` down."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, Card, ImageFeatures, LoadOptions, Reading, TextTokens, some_of
from pnpovss.backbones.registry import load_backbone
from pnpovss.config import Config, DropoutSettings
from pnpovss.idle import refuse_idle
from pnpovss.images import ImageSource
from pnpovss.inputs import Inputs, ask, batches, each_explained, prepare
from pnpovss.instances.find import check_installed, find_instances
from pnpovss.matching import match_names, refuse_what_is_not_finite
from pnpovss.names import NameLike
from pnpovss.presets import Preset, read_preset
from pnpovss.prompts import Prompts
from pnpovss.refine.photo_crf import PhotoCrf
from pnpovss.refine.pipeline import nothing_found, refine
from pnpovss.results.heatmaps import HeatMaps
from pnpovss.results.labels import as_asked
from pnpovss.results.provenance import Provenance
from pnpovss.results.segmentation import Segmentation
from pnpovss.saliency.dropout import blank_patches, drop_most_salient
from pnpovss.saliency.gradcam import sum_heads
from pnpovss.saliency.tokens import merge_tokens
from pnpovss.saliency.views import merge_views, views_of

__all__ = ["Explained", "Pass", "Segmenter"]

_logger = logging.getLogger(__name__)

ONE_LOOK = DropoutSettings(passes=1)  # Salience Dropout off


@dataclass(frozen=True, eq=False)
class Explained:
    """Where the names lead the model to look in one image.

    Attributes:
        kept: indices of the names that were looked for; the others are held to be absent.
        names: Float32 "kept gh gw", non-negative, the sum over the passes of Salience Dropout, the mean over views.
        words: Float32 "word gh gw", the same for each word of the prompts.
        passes: Float32 "pass kept gh gw", what each pass adds to `names`.
        prompts: what the model was asked.
        match: probability in [0, 1] that the prompt matches the whole image (mean over prompts); None without one.
        name_match: the same for each name alone, its best synonym's; None unless it was asked for, or decided.
    """

    kept: tuple[int, ...]
    names: Float[Tensor, "kept gh gw"]
    words: Float[Tensor, "word gh gw"]
    passes: Float[Tensor, "pass kept gh gw"]
    prompts: Prompts
    match: float | None
    name_match: tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class Pass:
    """One look of Salience Dropout at b images.

    Attributes:
        kept: Bool "b gh gw", the patches that could be seen.
        maps: of each image, Float32 "token gh gw", non-negative.
        match: of each image, the probability in [0, 1] that each of its prompts matches what could be seen.
    """

    kept: Bool[Tensor, "b gh gw"]
    maps: Sequence[Float[Tensor, "_token gh gw"]]
    match: Sequence[Float[Tensor, " _prompt"]]


class Segmenter:
    """Segments images by words with one backbone and one set of settings.

    Attributes:
        backbone: the model whose attention is read.
        config: the settings that run; layer, head and image size are the model's own where none were set.
        preset: the name of the preset that the settings started from.
        settings_source: who chose the preset's own settings: those of the checkpoint, or of a tuned.json.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: Config | None = None,
        preset: str = "default",
        settings_source: str | None = None,
    ) -> None:
        if config is None:
            chosen = read_preset(preset)
            config, preset = chosen.config(backbone.card.recommended.settings), chosen.name
            settings_source = settings_source or (chosen.tuned and chosen.tuned.source)
        self.backbone = backbone
        self.preset = preset
        self.settings_source = settings_source or backbone.card.recommended.source
        self.config = config.resolve(backbone.card)
        check_installed(self.config.instances)

    def replace(self, *, backbone: Backbone | None = None, config: Config | None = None) -> "Segmenter":
        """The same with another backbone or other settings; where the settings started from stays as it was."""
        return Segmenter(backbone or self.backbone, config or self.config, self.preset, self.settings_source)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "mini",
        *,
        device: str = "auto",
        dtype: str = "float32",
        preset: str | Path = "default",
        settings: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> "Segmenter":
        """Load a model and choose the settings.

        Args:
            model: a bundled name ("mini"), a hub id ("Salesforce/blip-itm-large-flickr"), or a checkpoint's folder.
            device: "cpu", "cuda", "cuda:1", "mps", or "auto": CUDA where there is one, else the CPU.
            dtype: "float32", or "bfloat16" (faster; labels differ a little).
            preset: "default" (ours), "best" (more looks), "paper", "authors" (as its released code computes it), or a
                tuned.json's path.
            settings: values that replace the preset's, by dotted name: {"dropout.passes": 2, "crf": None}.
            without: steps to turn off: presence, views, gradcam, dropout, threshold, background, blur, crf, instances.
            local_files_only: never ask a hub.
            revision: of a hub id.

        Raises:
            UnknownModelError: no backbone knows the model.
            CheckpointError: its files are missing, incomplete or of another architecture.
            ConfigError: an unknown preset, setting, step, device or dtype; or a setting that another one, perhaps the
                model's own, leaves without an effect.
            MissingExtraError: a setting needs a package that is not installed.
        """
        chosen = read_preset(preset)
        checked = chosen.config().replace(settings or {}).without(*without)  # errors must not wait for a model to load
        check_installed(checked.instances)
        options = LoadOptions.parse(device, dtype, local_files_only=local_files_only, revision=revision)
        backbone = load_backbone(model, options)
        config = chosen.config(backbone.card.recommended.settings).replace(settings or {}).without(*without)
        refuse_idle(config, settings or (), loaded=True)
        _warn_of_guess(backbone.card, config)
        if chosen.tuned is None:
            return cls(backbone, config, chosen.name)
        _warn_of_another(backbone.card, chosen)
        return cls(backbone, config, chosen.name, chosen.tuned.source)

    def __call__(
        self,
        image: ImageSource,
        names: Sequence[NameLike],
        *,
        present: Sequence[int] | None = None,
        name_match: bool = False,
        instances: Literal["pieces", "heat"] | None = None,
    ) -> Segmentation:
        """Segment one image by names; for many images, see `stream`.

        With the step `presence` on (the preset `default`), names that the model itself holds to be absent are left out;
        `Segmentation.kept` tells which were looked for.

        Args:
            image: a path, a PIL image, or an RGB array "h w 3".
            names: what to look for ("cat", "potted plant", or synonyms as ["sofa", "couch"]).
            present: indices of the names that are there, by another's judgement, which replaces the model's own.
            name_match: also tell for each name alone how well it matches the image; always told where the step
                `presence` decides.
            instances: also tell things of one name apart (`Segmentation.instances`): "pieces", each connected piece is
                a thing, or "heat", pieces are cut between peaks of the heat map. None does as the setting
                `instances.split` says.

        Raises:
            ImageError: a photo that cannot be read.
            NamesError: no names, empty ones, duplicates, or too long for the text encoder.
            ModelError: the model answers with numbers that are not finite.
            MissingExtraError: "heat" without scikit-image.
        """
        telling = self._telling(instances)
        inputs = prepare(image, names, self.backbone.card, self.config, present)
        [explained] = self.explain([inputs], name_match=name_match)
        return telling.finish(inputs, explained)

    def stream(
        self,
        pairs: Iterable[tuple[ImageSource, Sequence[NameLike]]],
        *,
        name_match: bool = False,
        instances: Literal["pieces", "heat"] | None = None,
        batch_size: int = 8,
    ) -> Iterator[Segmentation]:
        """Segment (image, names) pairs one after the other, holding no more than a batch in memory.

        Args:
            pairs: images, each with its own names; see `__call__`.
            name_match: see `__call__`.
            instances: see `__call__`.
            batch_size: images, or views, that the model reads at once, those of one photo together; changes no result.
                A result comes when its batch is full: with 1, before the next pair is asked for.

        Raises:
            ImageError, NamesError: see `__call__`; after the results of the pairs before it.
        """
        telling = self._telling(instances)
        prepared = (prepare(image, names, self.backbone.card, self.config) for image, names in pairs)
        views = len(views_of(self.config.views))
        for batch in batches(prepared, max(1, batch_size // views)):
            for inputs, explained in each_explained(batch, lambda some: self.explain(some, name_match=name_match)):
                yield telling.finish(inputs, explained)

    def _telling(self, split: Literal["pieces", "heat"] | None) -> "Segmenter":
        """The same, telling things of one name apart as a call asks."""
        if split is None:
            return self
        return self.replace(config=self.config.replace({"instances.split": split}))

    def explain(self, images: Sequence[Inputs], *, name_match: bool = False) -> list[Explained]:
        """GradCAM under Salience Dropout (paper, 3.2 and 3.3), for images of one input size.

        The maps of all passes are summed; a patch adds nothing once it is dropped. Each view of a photo goes through
        this alone; then the views' maps are averaged.
        """
        views = views_of(self.config.views)
        pixels = torch.cat([image.pixels for image in images])  # b 3 H W, b = images x views
        seen = self.backbone.encode_images(pixels)
        found = self._ask(seen[:: len(views)], images, name_match)
        there = [i for i, each in enumerate(found) if each.kept]  # in the others there is nothing to look for
        if there:
            rows = [i * len(views) + view for i in there for view in range(len(views))]
            shown = pixels if len(rows) == len(pixels) else pixels[rows]
            looked = self._search(shown, some_of(seen, rows), [found[i] for i in there])
            for i, each in zip(there, looked, strict=True):
                found[i] = each
        return found

    def _search(
        self, pixels: Float[Tensor, "b 3 H W"], seen: ImageFeatures, asked: Sequence[Explained]
    ) -> list[Explained]:
        """All passes over photos in each of which there is something to look for; every view of a photo alone."""
        count = len(views_of(self.config.views))
        prompts = [each.prompts.tokens for each in asked for _ in range(count)]
        names = [each.prompts.name_tokens for each in asked for _ in range(count)]
        weights = (self.config.dropout or ONE_LOOK).pass_weights
        passes = list(self.passes(pixels, seen, prompts, names))
        added = [
            torch.stack([weight * each.maps[i] * each.kept[i] for weight, each in zip(weights, passes, strict=True)])
            for i in range(len(pixels))
        ]  # b of "pass token gh gw"
        of_photo = [added[start : start + count] for start in range(0, len(added), count)]
        return [self._read(*each) for each in zip(asked, of_photo, passes[0].match[::count], strict=True)]

    def passes(
        self,
        pixels: Float[Tensor, "b 3 H W"],
        seen: ImageFeatures,
        prompts: Sequence[Sequence[TextTokens]],
        names: Sequence[Sequence[Sequence[int]]],
    ) -> Iterator[Pass]:
        """Look at the whole images; then drop the most salient patches that are left, blank them and look again.

        Args:
            pixels: normalised, as the backbone reads them.
            seen: the same, encoded.
            prompts: of each image.
            names: of each image, for each name, the indices of its tokens.
        """
        dropout = self.config.dropout or ONE_LOOK
        kept = torch.ones(len(pixels), *seen.grid, dtype=torch.bool, device=pixels.device)
        for left in reversed(range(dropout.passes)):
            look, match = self._look(seen, prompts)
            yield Pass(kept, look, match)
            if left:
                kept = drop_most_salient(look, names, kept, dropout)
                seen = self.backbone.encode_images(blank_patches(pixels, kept))

    def _ask(self, whole: ImageFeatures, images: Sequence[Inputs], name_match: bool) -> list[Explained]:
        """Which names to look for in each encoded image, with no maps yet: the step `presence`."""
        presence = self.config.presence
        scores: dict[int, tuple[float, ...]] = {}
        told = [i for i, each in enumerate(images) if name_match or (presence is not None and each.present is None)]
        if told:
            matched = match_names(self.backbone, some_of(whole, told), [images[i].names for i in told], self.config)
            scores.update(zip(told, matched, strict=True))
        nothing = torch.zeros(0, *whole.grid, dtype=torch.float32, device="cpu")
        found = []
        for place, image in enumerate(images):
            match = scores.get(place)
            kept = tuple(range(len(image.names))) if image.present is None else image.present
            if image.present is None and presence is not None and match is not None:
                kept = tuple(i for i in kept if match[i] >= presence.above)
            prompts = ask([image.names[i] for i in kept], self.backbone, self.config)
            found.append(Explained(kept, nothing, nothing, nothing[None], prompts, None, match))
        return found

    def _look(
        self, features: ImageFeatures, prompts: Sequence[Sequence[TextTokens]]
    ) -> tuple[list[Float[Tensor, "_token gh gw"]], tuple[Float[Tensor, " _prompt"], ...]]:
        """The map of each token in each image, the mean over the heads that are read, and each prompt's probability."""
        heads = self.config.all_heads
        groups = self.backbone.card.read_together(layer for layer, _ in heads)
        wanted = [Reading(layers, self.config.gradcam, self.config.read == "legrad") for layers in groups]
        looks = [self.backbone.match(features, prompts, each) for each in wanted]
        refuse_what_is_not_finite(self.backbone, "match scores", looks[0].probability)
        rows = [[(layers.index(layer), head) for layer, head in heads if layer in layers] for layers in groups]
        maps = [
            torch.stack([sum_heads(*each) for each in zip(seen, rows, strict=True)]).sum(0) / len(heads)
            for seen in zip(*(look.maps for look in looks), strict=True)
        ]
        refuse_what_is_not_finite(self.backbone, "maps", maps)
        return maps, looks[0].probability

    def _read(
        self, found: Explained, added: Sequence[Float[Tensor, "pass _token gh gw"]], match: Float[Tensor, " _prompt"]
    ) -> Explained:
        """What was found in one photo, with the maps of names and words, the views' put together."""
        views, settings, prompts = views_of(self.config.views), self.config.views, found.prompts
        total = merge_views([passes.sum(0) for passes in added], views, settings)
        single = (merge_views(one, views, settings) for one in zip(*added, strict=True))
        return replace(
            found,
            names=merge_tokens(total, prompts.name_tokens),
            words=merge_tokens(total, prompts.word_tokens),
            passes=torch.stack([merge_tokens(one, prompts.name_tokens) for one in single]),
            match=float(match.mean()),
        )

    def finish(
        self, inputs: Inputs, explained: Explained, crf: PhotoCrf | None = None, go_on: Callable[[], Any] = lambda: None
    ) -> Segmentation:
        """The result, from the maps: threshold, background, blur, Dense CRF, instances.

        Args:
            inputs: what was prepared.
            explained: what `explain` found in it.
            crf: the Dense CRF of this photo with these settings, to use its filters again; None builds one.
            go_on: called before each iteration of the Dense CRF, name and thing; what it raises ends the work.
        """
        pixels, kept, prompts = np.asarray(inputs.image), explained.kept, explained.prompts
        maps = explained.names.cpu().numpy(), prompts.words, explained.words.cpu().numpy()
        refined = refine(explained.names, pixels, self.config, crf, go_on) if kept else nothing_found(pixels.shape[:2])
        labels, things = as_asked(refined.labels, kept, len(inputs.names)), None
        if (apart := self.config.instances) is not None:
            passes = explained.passes.cpu().numpy()
            things = find_instances(labels, refined.scores, kept, passes, pixels, apart, go_on)
        return Segmentation(
            labels=labels,
            scores=refined.scores,
            background_score=refined.background_score,
            names=inputs.names,
            kept=kept,
            heatmaps=HeatMaps(*maps, prompts.words_of_names),
            match=explained.match,
            name_match=explained.name_match,
            provenance=Provenance.of(
                self.backbone.card,
                preset=self.preset,
                config=self.config,
                settings_source=self.settings_source,
                prompts=explained.prompts.texts,
            ),
            instances=things,
        )


def _warn_of_guess(card: Card, config: Config) -> None:
    """Which head looks at what it says is found by trying; one that nobody tried is said to be a guess."""
    own = card.recommended
    if own.source.startswith("untuned") and config.heads is None and (config.layer is None or config.head is None):
        _logger.warning(
            "nobody tuned %s: it is read at %s (%s), and may look elsewhere than it says; `pnpovss tune` "
            "finds layer and head (more: docs/tuning.md)",
            card.name,
            config.resolve(card).heads_in_words,
            own.source,
        )


def _warn_of_another(card: Card, preset: Preset) -> None:
    """Settings that were tuned for one model mean little to another."""
    tuned = preset.tuned
    assert tuned is not None
    known = None not in (tuned.revision, card.revision)
    if tuned.revision != card.revision if known else tuned.model != card.name:
        _logger.warning(
            "%s holds settings that were tuned for %s (%s), and %s (%s) is read with them; tune this model",
            preset.name,
            tuned.model,
            tuned.revision,
            card.name,
            card.revision,
        )
