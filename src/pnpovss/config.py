"""Every setting of the method, defined once: presets, the command line and saved results are made from it.

A step is turned off with one word: `Config.preset("default").without("crf")`, or `None` as its value.
The presets cite the paper (PnP-OVSS, arXiv 2311.17095v4) and its authors' released code.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError, model_validator

from pnpovss.errors import ConfigError

if TYPE_CHECKING:
    from pnpovss.backbones.base import Card

__all__ = [
    "PRESETS",
    "STEPS",
    "Background",
    "BlurSettings",
    "Config",
    "CrfSettings",
    "DropoutSettings",
    "Heads",
    "InstanceSettings",
    "PresenceSettings",
    "PresetName",
    "Settings",
    "ViewSettings",
    "setting_names",
]

PresetName = Literal["default", "best", "paper", "authors"]
_Part = Annotated[float, Field(ge=0.25, lt=1)]
Heads = Annotated[tuple[tuple[NonNegativeInt, NonNegativeInt], ...], Field(min_length=1, max_length=10_000)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class PresenceSettings(_Frozen):
    """Leave out names that the model itself holds to be absent, before the first look."""

    above: float = Field(
        default=0.5, ge=0, le=1, description='a name is asked for from this match probability of "A picture of <name>"'
    )


class ViewSettings(_Frozen):
    """More than one look at the photo; what is found is averaged."""

    mirror: bool = Field(default=True, description="look at the mirror image, too")
    tiles: tuple[_Part, ...] = Field(default=(), max_length=8, description="tiles, too, of these parts of sides: [0.6]")
    tiles_across: int = Field(default=2, ge=2, le=8, description="tiles along each side, evenly spaced: 2 are corners")
    tiles_weight: float = Field(default=0.5, ge=0, le=1, description="weight of the tiles beside the whole photo")

    @model_validator(mode="after")
    def _tiles_cover_the_photo(self) -> "ViewSettings":
        if len(set(self.tiles)) < len(self.tiles):
            raise ValueError(f"tiles {list(self.tiles)} name a share twice; each is looked at once")
        if gaps := [f"{share} of a side" for share in self.tiles if share * self.tiles_across < 1]:
            raise ValueError(f"{self.tiles_across} tiles of {gaps[0]} leave gaps; take more of them, or larger ones")
        return self


class DropoutSettings(_Frozen):
    """Salience Dropout (paper section 3.3): blank the most salient patches, look again, sum what is found."""

    passes: int = Field(default=4, ge=1, le=100, description="how often the model looks at the image; 1: GradCAM alone")
    drop: Annotated[int, Field(ge=1, strict=True)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5, description="patches blanked before each further pass: a fraction of those left, or a count"
    )
    ranking: Literal["names", "tokens"] = Field(
        default="names",
        description="what is summed to rank patches: names, or their tokens (long words then count more)",
    )
    weights: tuple[NonNegativeFloat, ...] | None = Field(
        default=None, description="weight of each pass in the sum, one per pass; all 1 when not given"
    )

    @model_validator(mode="after")
    def _one_weight_per_pass(self) -> "DropoutSettings":
        if self.weights is not None and len(self.weights) != self.passes:
            raise ValueError(f"{len(self.weights)} weights were given for {self.passes} passes; give one per pass")
        return self

    @property
    def pass_weights(self) -> tuple[float, ...]:
        """One weight per pass."""
        return self.weights or (1.0,) * self.passes


class BlurSettings(_Frozen):
    """Gaussian blur of the score maps."""

    sigma: float = Field(default=0.05, gt=0, le=1, description="standard deviation, as part of the longer image side")


class CrfSettings(_Frozen):
    """Dense CRF (Krähenbühl and Koltun 2011) with one spatial and one bilateral term, Potts compatibility."""

    gaussian_sxy: float = Field(default=3, gt=0, description="width of the spatial term [px]")
    gaussian_compat: float = Field(default=7, ge=0, description="weight of the spatial term")
    bilateral_sxy: float = Field(default=50, gt=0, description="spatial width of the bilateral term [px]")
    bilateral_srgb: float = Field(default=5, gt=0, description="colour width of the bilateral term [0-255 levels]")
    bilateral_compat: float = Field(default=10, ge=0, description="weight of the bilateral term")
    iterations: int = Field(default=10, ge=1, le=1000, description="mean-field iterations")
    max_pixels: int | None = Field(
        default=2_000_000,
        ge=10_000,
        description="photos of more pixels are refined at so many, and edges drawn at full size; none: no limit",
    )


class InstanceSettings(_Frozen):
    """Tell one thing from another of its name, in the regions that all other steps have made."""

    split: Literal["pieces", "heat"] = Field(
        default="heat", description="pieces: each connected piece is a thing; heat: pieces are cut between heat peaks"
    )
    prominence: float = Field(
        default=0.6, gt=0, le=1, description="a peak rises so far above the pass to a higher one, of its name's highest"
    )
    evidence: Literal["sum", "passes"] = Field(
        default="sum",
        description="heat that has peaks: the sum of the passes, or each pass of Salience Dropout at its own scale",
    )
    method: Literal["watershed", "random_walk"] = Field(default="watershed", description="how pieces are cut")
    edges: float = Field(default=0.5, ge=0, le=1, description="weight of colour edges beside that of the heat in cuts")
    smallest: float = Field(default=0.005, ge=0, lt=1, description="part of the photo below which a thing is too small")
    small: Literal["join", "drop"] = Field(
        default="join", description="what is too small goes to the nearest thing of its name, or is no thing"
    )


class Background(_Frozen):
    """When a pixel may be none of the names: it is background where every name's score is 0."""

    policy: Literal["auto", "always", "never", "fewer_than"] = Field(
        default="auto", description="always, never, or by count of names; auto: always, or as a benchmark asks"
    )
    count: int = Field(default=3, ge=1, description="with fewer_than: a background only with fewer names than this")

    def applies(self, names: int) -> bool:
        """Whether an image with so many names has a background."""
        return self.policy in ("auto", "always") or (self.policy == "fewer_than" and names < self.count)


class Config(_Frozen):
    """The whole method's settings. None turns a step off; layer, head, image_size, read: the model's own."""

    layer: int | None = Field(default=None, ge=0, description="0-based text layer whose cross-attention is read")
    head: int | None = Field(default=None, ge=0, description="0-based head of that layer")
    heads: Heads | None = Field(
        default=None, description="several heads in place of one, as [[layer, head], ...]: their maps are averaged"
    )
    image_size: int | None = Field(default=None, ge=16, le=4096, description="side the image is resized to [px]")
    read: Literal["names", "answer", "legrad"] | None = Field(
        default=None,
        description="where to look: names, where each name's tokens look; answer, where the token looks that the match "
        "is read from, each name asked alone; legrad, at the gradients of all heads alone; none: the model's own",
    )
    keep_aspect: bool = Field(default=False, description="keep the image's proportions instead of a square input")
    squash_names: bool = Field(default=False, description='write "potted plant" as one word, "pottedplant"')
    presence: PresenceSettings | None = Field(
        default=PresenceSettings(), description="leave out names that the model itself holds to be absent"
    )
    views: ViewSettings | None = Field(
        default=None, description="look at the mirror image and at parts of the photo, too"
    )
    gradcam: bool = Field(default=True, description="weigh attention by the positive gradient of the match logit")
    dropout: DropoutSettings | None = Field(default=DropoutSettings(), description="Salience Dropout")
    threshold: float | None = Field(
        default=0.15, ge=0, lt=1, description="patch scores below this part of their name's range become 0"
    )
    background: Background = Field(default=Background(), description="when a pixel may be none of the names")
    blur: BlurSettings | None = Field(default=BlurSettings(), description="Gaussian blur of the score maps")
    crf: CrfSettings | None = Field(default=CrfSettings(), description="Dense CRF")
    instances: InstanceSettings | None = Field(default=None, description="tell things of one name apart")

    @model_validator(mode="after")
    def _one_way_to_say_which_heads(self) -> "Config":
        if self.heads is not None:
            if twice := [head for head, count in Counter(self.heads).items() if count > 1]:
                raise ValueError(f"heads names {list(twice[0])} twice; name each head once")
            said = (self.layer, self.head)
            if any(given is not None and given != first for given, first in zip(said, self.heads[0], strict=True)):
                raise ValueError("heads stands in the place of layer and head; give one or the other")
        return self

    @classmethod
    def preset(cls, name: str, overrides: Mapping[str, Any] | None = None) -> "Config":
        """A preset, with some settings replaced.

        Args:
            name: "default", "best", "paper" or "authors".
            overrides: values by dotted field name, such as {"dropout.passes": 2, "crf": None}.

        Raises:
            ConfigError: an unknown preset or setting, or a value out of range.
        """
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
        return PRESETS[name].replace(overrides or {})

    def replace(self, overrides: Mapping[str, Any]) -> "Config":
        """A copy with some settings replaced, by dotted field name; see `preset`.

        `layer` or `head` takes the place of `heads`, and `heads` that of both; where `read` changes, they are left to
        the model again, as they were chosen for another reading, and what was resolved has to be resolved anew.

        Raises:
            ConfigError: an unknown setting, or a value out of range.
        """
        values, kind = self.model_dump(), type(self)
        if values["read"] not in (None, overrides.get("read", values["read"])):
            values |= {"layer": None, "head": None, "heads": None}
            kind = Config
        if overrides.get("layer") is not None or overrides.get("head") is not None:
            values["heads"] = None
        if overrides.get("heads") is not None:
            values["layer"] = values["head"] = None
        for dotted, value in overrides.items():
            _put(values, dotted, value)
        return _checked(kind, values)

    def without(self, *steps: str) -> "Config":
        """A copy with the named steps turned off.

        Args:
            steps: any of `STEPS`: presence, views, gradcam, dropout, threshold, background, blur, crf, instances.

        Raises:
            ConfigError: a word that is no step.
        """
        if unknown := [step for step in steps if step not in STEPS]:
            raise ConfigError(f"no step is called {unknown[0]!r}; steps that can be turned off: {', '.join(STEPS)}")
        return self.replace({step: STEPS[step] for step in steps})

    def resolve(self, card: "Card") -> "Settings":
        """The settings that run: the model's own layer, head and image size where none is set here.

        Raises:
            ConfigError: a layer, head or size that the model does not have, or that cannot be read so.
        """
        own = card.recommended
        layer = own.layer if self.layer is None else self.layer
        head = own.head if self.head is None else self.head
        size = self.image_size or own.image_size
        read = self.read or card.reads[0]
        if read not in card.reads:
            raise ConfigError(f"{card.name!r} cannot be read by {read!r}; it can by: {', '.join(card.reads)}")
        if read == "legrad" and not self.gradcam:
            raise ConfigError("read = legrad is made of gradients; leave the step gradcam on")
        heads = self.heads
        if heads is None and self.layer is None and self.head is None:
            every = tuple((of, number) for of, count in card.heads.items() for number in range(count))
            heads = every if read == "legrad" else own.heads
        for pair in heads or ((layer, head),):
            card.check_head(*pair, read, gradient=self.gradcam)
        if size % card.patch:
            near = max(1, round(size / card.patch)) * card.patch
            raise ConfigError(
                f"image_size {size} is no multiple of the patch of {card.name!r}, {card.patch} px; try {near}"
            )
        if size > (card.longest_side or size):
            raise ConfigError(
                f"{card.name!r} reads images of at most {card.longest_side} px a side, got image_size {size}"
            )
        if card.sizes == "fixed" and size != own.image_size:
            raise ConfigError(f"{card.name!r} reads images at {own.image_size} px only, got image_size {size}")
        if card.sizes == "frames" and size % own.image_size:
            raise ConfigError(f"{card.name!r} reads images at multiples of {own.image_size} px, got image_size {size}")
        if card.sizes != "any" and self.keep_aspect:
            raise ConfigError(f"{card.name!r} reads square images only; leave keep_aspect off")
        layer, head = heads[0] if heads else (layer, head)
        filled = {**self.model_dump(), "layer": layer, "head": head, "heads": heads, "image_size": size, "read": read}
        return _checked(Settings, filled)


class Settings(Config):
    """The settings that run: `Config.resolve` has filled in what was left to the model.

    Where there are several `heads`, layer and head are those of the first.
    """

    layer: int = Field(ge=0, description=Config.model_fields["layer"].description)  # pyright: ignore[reportIncompatibleVariableOverride,reportGeneralTypeIssues]
    head: int = Field(ge=0, description=Config.model_fields["head"].description)  # pyright: ignore[reportIncompatibleVariableOverride,reportGeneralTypeIssues]
    image_size: int = Field(ge=16, le=4096, description=Config.model_fields["image_size"].description)  # pyright: ignore[reportIncompatibleVariableOverride,reportGeneralTypeIssues]
    read: Literal["names", "answer", "legrad"] = Field(description=Config.model_fields["read"].description)  # pyright: ignore[reportIncompatibleVariableOverride,reportGeneralTypeIssues]

    @model_validator(mode="before")
    @classmethod
    def _of_the_first_head(cls, values: Any) -> Any:
        """Fill in layer and head where only `heads` is given; what is malformed is left to be refused."""
        if isinstance(values, Mapping) and values.get("heads") and values.get("layer") is values.get("head") is None:
            with suppress(TypeError, ValueError):
                layer, head = values["heads"][0]
                return {**values, "layer": layer, "head": head}
        return values

    @property
    def all_heads(self) -> Heads:
        """(layer, head) of every head that is read."""
        return self.heads or ((self.layer, self.head),)

    @property
    def heads_in_words(self) -> str:
        """As "layer 7, head 9", or "mean of layer.head 7.9, 8.2"."""
        if self.heads is None:
            return f"layer {self.layer}, head {self.head}"
        return f"mean of layer.head {', '.join(f'{layer}.{head}' for layer, head in self.heads)}"


# What turns each step off.
STEPS: dict[str, Any] = {
    "presence": None,
    "views": None,
    "gradcam": False,
    "dropout": None,
    "threshold": None,
    "background": {"policy": "never"},
    "blur": None,
    "crf": None,
    "instances": None,
}

PRESETS: dict[str, Config] = {
    # Ours: the paper's steps; layer, head, size and what else a checkpoint was tuned to come from the checkpoint.
    "default": Config(),
    "best": Config(views=ViewSettings(mirror=True, tiles=(0.6, 0.5), tiles_across=3)),  # twenty looks
    # As the paper describes it: half of the remaining patches a pass (section 3.3), T = 0.15.
    "paper": Config(presence=None, dropout=DropoutSettings(passes=4, drop=0.5), crf=CrfSettings(max_pixels=None)),
    # As the released code computes it: 10 patches a pass, ranked by tokens, pass 0 counted twice, squashed names.
    "authors": Config(
        presence=None,
        dropout=DropoutSettings(passes=4, drop=10, ranking="tokens", weights=(2.0, 1.0, 1.0, 1.0)),
        crf=CrfSettings(max_pixels=None),
        squash_names=True,
    ),
}


def _put(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set values[a][b] for dotted "a.b"; a step that is off is turned on with its defaults first."""
    *path, last = dotted.split(".")
    fields, node = Config.model_fields, values
    for part in path:
        if part not in fields:
            raise ConfigError(_unknown(dotted))
        model = _submodel(fields[part].annotation)
        if model is None:
            raise ConfigError(f"setting {part!r} has no parts, so {dotted!r} cannot be set")
        if node[part] is None:
            node[part] = model().model_dump()
        if not isinstance(node[part], dict):
            raise ConfigError(f"setting {part!r} was given as {node[part]!r:.80}, so {dotted!r} cannot be set in it")
        fields, node = model.model_fields, node[part]
    if last not in fields:
        raise ConfigError(_unknown(dotted))
    node[last] = value


def _checked(kind: type[Config], values: Mapping[str, Any]) -> Any:
    """The settings, of that class; an error says what is wrong with the first that was refused."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if isinstance(part, str) and part.isidentifier())
        raise ConfigError(f"setting {field}: {first['msg']}, got {first.get('input')!r:.200}") from error


def _submodel(annotation: Any) -> type[_Frozen] | None:
    """The settings class in an annotation such as `CrfSettings | None`."""
    options = getattr(annotation, "__args__", (annotation,))
    return next((option for option in options if isinstance(option, type) and issubclass(option, _Frozen)), None)


def setting_names() -> dict[str, str]:
    """Every setting by dotted name, with its description."""
    names: dict[str, str] = {}
    for field, info in Config.model_fields.items():
        names[field] = info.description or ""
        model = _submodel(info.annotation)
        for part, inner in model.model_fields.items() if model else ():
            names[f"{field}.{part}"] = inner.description or ""
    return names


def _unknown(dotted: str) -> str:
    return f"unknown setting {dotted!r}; known: {', '.join(setting_names())}"
