"""What a vision-language model must answer to be a backbone, and the registry of those that do.

A backbone owns its tokenizer and its model. It answers two calls: encode images (no gradient, batched), and, given
those features and some prompts, the match logits together with the cross-attention probabilities of the layers asked
for and the gradient of the match logit with respect to them. Nothing else in the method needs a gradient.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pnpovss.errors import ModelError, UnknownModelError
from pnpovss.prompts import TextTokens

__all__ = [
    "Backbone",
    "BackboneSpec",
    "CrossAttention",
    "ImageFeatures",
    "LoadOptions",
    "Match",
    "Recommended",
    "TextTokens",
    "known_backbones",
    "load_backbone",
    "register",
]

# This package's own backbones, asked in this order; others are installed entry points of the group below.
OWN = {"mini": "pnpovss.backbones.mini", "blip": "pnpovss.backbones.blip"}
ENTRY_POINT_GROUP = "pnpovss.backbones"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFeatures:
    """Images as the text side sees them.

    Attributes:
        tokens: Float "b n d"; `prefix` global tokens (CLS), then gh * gw patches in row-major order.
        grid: (gh, gw), patches down and across.
        prefix: how many leading tokens are no patches.
    """

    tokens: Float[Tensor, "b n d"]
    grid: tuple[int, int]
    prefix: int = 1


@dataclass(frozen=True)
class CrossAttention:
    """Text-to-image attention of the layers asked for, patches only (prefix tokens dropped).

    Attributes:
        probs: Float "p layer head token gh gw" in [0, 1]; the softmax ran over prefix and patches together.
        grads: the same shape, d(match logit) / d(probs); None where no gradient was asked for.
        layers: the 0-based layer indices along the second axis.

    Tokens past the end of a shorter prompt of the batch are padding; `TextTokens` tells how many count.
    """

    probs: Float[Tensor, "p layer head token gh gw"]
    grads: Float[Tensor, "p layer head token gh gw"] | None
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Match:
    """What the text side says of p (image, prompt) pairs.

    Attributes:
        logits: Float "p 2", raw (no match, match); softmax gives the match probability.
        attention: of the layers asked for; None when no layer was.
    """

    logits: Float[Tensor, "p 2"]
    attention: CrossAttention | None

    @property
    def probability(self) -> Float[Tensor, " p"]:
        """Probability of a match, in [0, 1]."""
        return self.logits.float().softmax(-1)[:, 1]


@dataclass(frozen=True)
class Recommended:
    """Settings a checkpoint was tuned to; presets leave these to the model unless they name their own.

    Attributes:
        layer: 0-based text layer whose cross-attention is read.
        head: 0-based head of that layer.
        image_size: side of the square input in pixels.
        settings: other config fields (dotted names) that the `default` preset takes from this checkpoint.
        source: where the values come from, for the provenance of a result.
    """

    layer: int
    head: int
    image_size: int
    settings: dict[str, Any] = field(default_factory=dict)
    source: str = "untuned"


@runtime_checkable
class Backbone(Protocol):
    """An image-text-matching model whose text-to-image cross-attention can be read."""

    @property
    def name(self) -> str:
        """The name, hub id or folder it was loaded by."""
        ...

    @property
    def revision(self) -> str | None:
        """Commit or content hash of the weights, where known."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Compute dtype of the image side's linear layers."""
        ...

    @property
    def patch(self) -> int:
        """Pixels along one side of a patch token; image sizes must be multiples of it."""
        ...

    @property
    def mean(self) -> tuple[float, float, float]:
        """RGB mean, of values in [0, 1], that pixels are normalised with."""
        ...

    @property
    def std(self) -> tuple[float, float, float]:
        """RGB standard deviation, of values in [0, 1]."""
        ...

    @property
    def attention_shape(self) -> dict[int, int]:
        """Heads of each text layer that has cross-attention, by 0-based layer index."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest text, special tokens included."""
        ...

    @property
    def recommended(self) -> Recommended:
        """What this checkpoint was tuned to."""
        ...

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text as the text encoder wants it. Never truncates."""
        ...

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImageFeatures:
        """Encode normalised pixels (RGB, (value / 255 - mean) / std), without a gradient.

        H and W are multiples of `patch`. The result depends on each image alone, not on its batch.
        """
        ...

    def match(
        self,
        features: ImageFeatures,
        prompts: Sequence[TextTokens],
        *,
        image_index: Sequence[int] | Int[Tensor, " p"] | None = None,
        layers: Sequence[int] = (),
        gradient: bool = True,
    ) -> Match:
        """Match prompts with images.

        Args:
            features: of b images.
            prompts: p prompts, of any lengths up to `max_tokens`.
            image_index: for each prompt, its image in `features`; None pairs them one to one (p = b).
            layers: 0-based layers whose attention is returned; none by default.
            gradient: also differentiate the match logit of each pair with respect to those probabilities.
        """
        ...

    def similarity(self, features: ImageFeatures, texts: Sequence[TextTokens]) -> Float[Tensor, "b t"] | None:
        """Cosine similarity of the contrastive (ITC) heads, in [-1, 1]; None when the checkpoint has none."""
        ...


@dataclass(frozen=True)
class LoadOptions:
    """How to load: all fields are obeyed or refused, never replaced silently.

    Attributes:
        device: where it computes.
        dtype: torch.float32 (exact) or torch.bfloat16.
        local_files_only: never ask a hub.
        revision: of a hub id.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    local_files_only: bool = False
    revision: str | None = None


@dataclass(frozen=True)
class BackboneSpec:
    """An entry of the registry.

    Attributes:
        key: short name of the architecture, unique ("blip").
        summary: one line for `pnpovss models`.
        models: names it can load, each with one line on what it is; hub ids or bundled names.
        claims: whether this backbone loads the given name or folder.
        load: loads it, or raises a `ModelError`.
        available: for a name of `models`: whether its weights are on this machine.
    """

    key: str
    summary: str
    models: dict[str, str]
    claims: Callable[[str], bool]
    load: Callable[[str, LoadOptions], Backbone]
    available: Callable[[str], bool]


_registry: dict[str, BackboneSpec] = {}
_broken: dict[str, ModelError] = {}  # by entry point: why it is no backbone; each is said once


def register(spec: BackboneSpec) -> BackboneSpec:
    """Add a backbone to the registry; a package may also name its spec under the entry point `pnpovss.backbones`.

    Raises:
        ValueError: the key is taken by another spec.
    """
    if _registry.get(spec.key, spec) is not spec:
        raise ValueError(f"a backbone with key {spec.key!r} is registered already: {_registry[spec.key].summary}")
    _registry[spec.key] = spec
    return spec


def known_backbones() -> dict[str, BackboneSpec]:
    """All backbones by key: those of this package, installed entry points, and what `register` was given.

    An entry point that cannot be loaded is left out, and a warning names its package; the others work all the same.
    """
    for key, module in OWN.items():
        if key not in _registry:
            register(import_module(module).SPEC)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name not in _registry and point.name not in _broken:
            _register_entry_point(point)
    return dict(_registry)


def _register_entry_point(point: EntryPoint) -> None:
    """Add what an installed package offers, or note why that cannot be done: its code may fail in any way."""
    try:
        spec = point.load()
        if not isinstance(spec, BackboneSpec):
            raise TypeError(f"expected a BackboneSpec, got {type(spec).__name__}")
        register(spec)
    except Exception as error:
        dist = getattr(point, "dist", None)
        package = f"{dist.name} {dist.version}" if dist else "an unknown package"
        what_to_do = f"update or uninstall {dist.name}" if dist else "update or uninstall the package that brings it"
        broken = ModelError(
            f"the backbone {point.name!r} of the package {package} cannot be used: {point.value} fails with "
            f"{type(error).__name__}: {error}; {what_to_do}, or tell its authors"
        )
        broken.__cause__ = error
        _broken[point.name] = broken
        logger.warning("%s (all other backbones work)", broken)


def load_backbone(name: str | Path, options: LoadOptions | None = None) -> Backbone:
    """Load a model by bundled name, hub id or folder.

    Raises:
        UnknownModelError: no backbone claims the name; the message lists the known ones.
        CheckpointError: its files are missing, incomplete or of another architecture.
        ModelError: it is the name of an installed backbone that cannot be used; the message names its package.
    """
    name = str(name)
    specs = known_backbones()
    if name in _broken:
        raise _broken[name]
    for spec in specs.values():
        if spec.claims(name):
            return spec.load(name, options or LoadOptions())
    known = ", ".join(model for spec in specs.values() for model in spec.models)
    unusable = "".join(f" Perhaps it belongs to one that is broken: {error}." for error in _broken.values())
    raise UnknownModelError(
        f"no backbone knows the model {name!r}{_what_is_there(Path(name))}. Known: {known}; or give a folder that "
        f"holds such a checkpoint. `pnpovss models` tells what each needs.{unusable}"
    )


def _what_is_there(folder: Path) -> str:
    """Why nobody claims a folder that exists, for the message that refuses it."""
    config = folder / "config.json"
    if not folder.is_dir():
        return ""
    if not config.is_file():
        return ", a folder without config.json"
    try:
        return (
            f", whose config.json says model_type {json.loads(config.read_text(encoding='utf-8')).get('model_type')!r}"
        )
    except (OSError, ValueError, AttributeError):
        return ", whose config.json cannot be read"
