"""What a vision-language model must answer to be a backbone.

A backbone owns its tokenizer and its model. It answers two calls: encode images (no gradient, batched), and, given
those features and some prompts, how well they match, with the attention of the layers asked for and the gradient of the
match logit with respect to it. Nothing else in the method needs a gradient.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.errors import ConfigError
from pnpovss.prompts import PROMPT, TextTokens

__all__ = [
    "Backbone",
    "Card",
    "Contrastive",
    "ContrastiveBackbone",
    "ImageFeatures",
    "LoadOptions",
    "Match",
    "Reading",
    "Recommended",
    "TextTokens",
    "TokenMaps",
    "is_contrastive",
    "some_of",
]


@dataclass(frozen=True)
class Recommended:
    """Settings a checkpoint was tuned to; presets leave these to the model unless they name their own.

    Attributes:
        layer: 0-based layer whose attention is read.
        head: 0-based head of that layer.
        heads: several (layer, head), in place of that one: their maps are averaged.
        image_size: side of the square input in pixels.
        settings: other config fields (dotted names) that the `default` preset takes from this checkpoint.
        source: where the values come from, for the provenance of a result; starts with "untuned" if they are a guess.
    """

    layer: int
    head: int
    image_size: int
    settings: dict[str, Any] = field(default_factory=dict)
    source: str = "untuned"
    heads: tuple[tuple[int, int], ...] | None = None

    @property
    def tells_absence(self) -> bool:
        """Whether a low match means that a name is not there; not where nobody knows what a score of the model says."""
        return self.settings.get("presence", True) is not None


@dataclass(frozen=True)
class Card:
    """What is fixed about a loaded model.

    Attributes:
        name: the name, hub id or folder it was loaded by.
        revision: commit or content hash of its weights, where known.
        device: where it computes.
        dtype: compute dtype of the image side's linear layers.
        patch: pixels along one side of a patch; input sides are multiples of it.
        mean: RGB mean, of values in [0, 1], that pixels are normalised with.
        std: RGB standard deviation, of values in [0, 1].
        max_tokens: longest text, special tokens included.
        heads: the number of heads of each layer whose attention can be read, by 0-based layer index.
        recommended: what this checkpoint was tuned to.
        joint_prompt: whether one prompt may hold several names; False where each name must be asked for alone.
        sizes: "any" height and width, only "square" inputs, only the "fixed" recommended square, or that and its
            multiples, cut into "frames" of it.
        longest_side: of an input that the model has places for, a multiple of `patch` [px]; None where there is no end.
        prompt: what the text encoder is asked, {} where the names stand.
        reads: what can be read of it (see the setting `read`); the first is its own choice.
        answer: the place in a prompt of the token that the match is read from; negative from the end.
        gradientless: layers in which names' tokens have no gradient, as right below a match that is read from another
            token; they can be read all the same by `answer`, or as attention alone.
    """

    name: str
    revision: str | None
    device: torch.device
    dtype: torch.dtype
    patch: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    max_tokens: int
    heads: dict[int, int]
    recommended: Recommended
    joint_prompt: bool = True
    sizes: Literal["any", "square", "fixed", "frames"] = "any"
    longest_side: int | None = None
    prompt: str = PROMPT
    reads: tuple[Literal["names", "answer", "legrad"], ...] = ("names", "answer")
    answer: int = 0
    gradientless: tuple[int, ...] = ()

    def readable(self, read: str, *, gradient: bool) -> dict[int, int]:
        """The number of heads of each layer that can be read so.

        Args:
            read: the setting of that name.
            gradient: whether attention is weighed by its gradient.
        """
        without = self.gradientless if gradient and read == "names" else ()
        return {layer: heads for layer, heads in self.heads.items() if layer not in without}

    def check_head(self, layer: int, head: int, read: str, *, gradient: bool) -> None:
        """Refuse a head that the model does not have, or that cannot be read so; see `readable`.

        Raises:
            ConfigError: it does not, or cannot.
        """
        those = sorted(self.readable(read, gradient=gradient))
        if layer not in self.heads:
            raise ConfigError(f"layer {layer} of {self.name!r} cannot be read; these can: {those}")
        if layer not in those:
            answer = "; or set read = answer" if "answer" in self.reads else ""
            raise ConfigError(
                f"layer {layer} of {self.name!r} cannot be read by {read!r} with the step gradcam: its match is read "
                f"from another token right above, so the gradients of names are 0 there. Read one of {those}{answer}; "
                "or turn the step gradcam off"
            )
        if head >= self.heads[layer]:
            raise ConfigError(f"layer {layer} of {self.name!r} has heads 0 to {self.heads[layer] - 1}, no head {head}")

    def read_together(self, layers: Iterable[int]) -> list[tuple[int, ...]]:
        """The layers, each once, in groups that one `Reading` can ask for: those with the same number of heads."""
        groups: dict[int, list[int]] = {}
        for layer in dict.fromkeys(layers):
            groups.setdefault(self.heads[layer], []).append(layer)
        return [tuple(group) for group in groups.values()]

    def sides(self, parts: Iterable[float]) -> tuple[int, ...]:
        """The sides [px] to try, ascending: near those parts of the recommended one, of those that the model reads."""
        own = self.recommended.image_size
        if self.sizes == "fixed":
            return (own,)
        if self.sizes == "frames":
            near = {own, 2 * own}  # n times the side are n x n frames
        else:
            near = {max(1, round(part * own / self.patch)) * self.patch for part in parts}
        return tuple(sorted(side for side in near if side <= (self.longest_side or side)))


@runtime_checkable
class ImageFeatures(Protocol):
    """Encoded images; opaque to all but the backbone that made them."""

    @property
    def grid(self) -> tuple[int, int]:
        """(gh, gw), patches down and across, the same for all images of a batch."""
        ...

    def __len__(self) -> int:
        """How many images."""
        ...

    def __getitem__(self, images: slice) -> "ImageFeatures":
        """Some of the images."""
        ...

    @classmethod
    def join(cls, parts: Sequence[Any]) -> "ImageFeatures":
        """Images of one grid, one after the other."""
        ...


def some_of(features: ImageFeatures, images: Sequence[int]) -> ImageFeatures:
    """Encoded images by their numbers, ascending and at least one; the same object where that is all of them."""
    if len(images) == len(features):
        return features
    return type(features).join([features[image : image + 1] for image in images])


@dataclass(frozen=True)
class Reading:
    """What is to be read while prompts are matched.

    Attributes:
        layers: 0-based layers whose attention is wanted, each once, all of one number of heads.
        gradient: also differentiate the match logit with respect to it.
        legrad: compose maps as LeGrad does; only where `Card.reads` names it.
    """

    layers: tuple[int, ...]
    gradient: bool = True
    legrad: bool = False


@dataclass(frozen=True, eq=False)
class TokenMaps:
    """Where the tokens of one image's prompts look; patches only, the tokens of all its prompts in a row, no padding.

    Attributes:
        attention: Float "layer head token gh gw" in [0, 1]; layers in the order asked for.
        gradient: the same shape, d(match logit of the token's prompt) / d(attention); None where not asked for.
        composed: the same shape, >= 0: the maps themselves, where they are more than the product of the two, as where
            a token sees the image through others; None where they are max(0, gradient) * attention.
    """

    attention: Float[Tensor, "layer head token gh gw"]
    gradient: Float[Tensor, "layer head token gh gw"] | None
    composed: Float[Tensor, "layer head token gh gw"] | None = None


@dataclass(frozen=True, eq=False)
class Match:
    """How well prompts match their images, by image.

    Attributes:
        logits: Float " prompt" for each image: the raw match logit, which gradients are of.
        probability: Float " prompt" for each image, in [0, 1]: the model's own probability of a match.
        maps: for each image, what was to be read; empty where nothing was.
    """

    logits: tuple[Float[Tensor, " _prompt"], ...]
    probability: tuple[Float[Tensor, " _prompt"], ...]
    maps: tuple[TokenMaps, ...] = ()


@runtime_checkable
class Backbone(Protocol):
    """A model that tells whether texts match images, and whose text-to-image attention can be read."""

    @property
    def card(self) -> Card:
        """What is fixed about it."""
        ...

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text as the text encoder wants it. Never truncates."""
        ...

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImageFeatures:
        """Encode normalised pixels (RGB, (value / 255 - mean) / std), without a gradient.

        H and W are multiples of `card.patch`. The result depends on each image alone, not on its batch.
        """
        ...

    def match(self, features: Any, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None) -> Match:
        """Match prompts with images.

        Args:
            features: of b images, from `encode_images`.
            prompts: for each of the b images, its prompts, at least one, of any lengths up to `card.max_tokens`.
            reading: the layers whose maps are returned; none by default.
        """
        ...


@runtime_checkable
class Contrastive(Protocol):
    """A backbone that also places images and texts in one space (ITC), apart from one another."""

    def embed_images(self, features: Any) -> Float[Tensor, "b d"]:
        """Encoded images as unit vectors."""
        ...

    def embed_texts(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """Texts, from `tokenize`, as unit vectors; their cosine with an image is in [-1, 1]."""
        ...


class ContrastiveBackbone(Backbone, Contrastive, Protocol):
    """A backbone that is both."""


def is_contrastive(backbone: Backbone) -> TypeGuard[ContrastiveBackbone]:
    """Whether a backbone, or what it is wrapped in, is `Contrastive`.

    From Python 3.12 on, `isinstance` looks for a protocol's methods in the class alone, and so misses those that a
    wrapper such as `SharedEncodings` passes on.
    """
    return all(callable(getattr(backbone, name, None)) for name in ("embed_images", "embed_texts"))


@dataclass(frozen=True)
class LoadOptions:
    """How to load: all fields are obeyed or refused, never replaced silently.

    Attributes:
        device: where it computes.
        dtype: torch.float32 or torch.bfloat16.
        local_files_only: never ask a hub.
        revision: of a hub id.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    local_files_only: bool = False
    revision: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be obeyed.

        Raises:
            ConfigError: a device that is not on this machine, or a dtype that is neither float32 nor bfloat16.
        """
        if self.dtype not in _DTYPES.values():
            raise ConfigError(f"unknown dtype {_named(self.dtype)!r}; expected one of {', '.join(_DTYPES)}")
        there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
        if (self.device.index or 0) >= there.get(self.device.type, 0):
            have = ", ".join(kind for kind, count in there.items() if count)
            raise ConfigError(f"device {str(self.device)!r} is not on this machine; it has: {have}")

    @classmethod
    def parse(
        cls,
        device: str = "auto",
        dtype: str = "float32",
        *,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> "LoadOptions":
        """From words, as they are typed; the device "auto" is CUDA where there is one, else the CPU.

        Raises:
            ConfigError: an unknown device or dtype, or a device that is not on this machine.
        """
        if dtype not in _DTYPES:
            raise ConfigError(f"unknown dtype {dtype!r}; expected one of {', '.join(_DTYPES)}")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            where = torch.device(device)
        except RuntimeError as error:
            raise ConfigError(f"unknown device {device!r}; expected auto, cpu, cuda, cuda:N or mps") from error
        return cls(where, _DTYPES[dtype], local_files_only, revision)


_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
