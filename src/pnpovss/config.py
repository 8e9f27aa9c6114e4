"""Every setting of the method, defined once: presets, the command line and saved results are made from it.

A step is turned off with one word: `Config.preset("default").without("crf")`, or `None` as its value.
The presets cite the paper (PnP-OVSS, arXiv 2311.17095v4) and its authors' released code.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pnpovss.errors import ConfigError

__all__ = [
    "PRESETS",
    "STEPS",
    "Background",
    "BlurSettings",
    "Config",
    "CrfSettings",
    "DropoutSettings",
    "PresetName",
    "setting_names",
]

PresetName = Literal["default", "paper", "authors"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DropoutSettings(_Frozen):
    """Salience Dropout (paper section 3.3): blank the most salient patches, look again, sum what is found."""

    passes: int = Field(default=4, ge=1, le=100, description="looks at the image; 1 is plain GradCAM")
    drop: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5, description="dropped a pass: a fraction of the remaining patches, or a count"
    )
    ranking: Literal["names", "tokens"] = Field(
        default="names",
        description="what is summed to rank patches: names, or their tokens (long words then count more)",
    )
    weights: tuple[float, ...] | None = Field(
        default=None, description="weight of each pass in the sum; all 1 when not given"
    )

    @model_validator(mode="after")
    def _one_weight_a_pass(self) -> "DropoutSettings":
        if self.weights is not None and len(self.weights) != self.passes:
            raise ValueError(f"weights names {len(self.weights)} passes, but there are {self.passes}")
        return self

    @property
    def pass_weights(self) -> tuple[float, ...]:
        """One weight a pass."""
        return self.weights or (1.0,) * self.passes


class BlurSettings(_Frozen):
    """Gaussian blur of the score maps."""

    sigma: float = Field(
        default=0.05, gt=0, le=1, description="standard deviation, as a fraction of the longer image side"
    )


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


class Background(_Frozen):
    """When a pixel may be none of the names: it is background where every name's score is 0."""

    policy: Literal["always", "never", "fewer_than"] = Field(
        default="always", description="always, never, or by count of names"
    )
    count: int = Field(
        default=3, ge=1, description="with fewer_than: there is a background only with fewer names than this"
    )

    def applies(self, names: int) -> bool:
        """Whether an image with so many names has a background."""
        return self.policy == "always" or (self.policy == "fewer_than" and names < self.count)


class Config(_Frozen):
    """The whole method's settings. None turns a step off; layer, head and image_size None means the model's own."""

    layer: int | None = Field(default=None, ge=0, description="0-based text layer whose cross-attention is read")
    head: int | None = Field(default=None, ge=0, description="0-based head of that layer")
    image_size: int | None = Field(default=None, ge=16, le=4096, description="side the image is resized to [px]")
    keep_aspect: bool = Field(default=False, description="keep the image's proportions instead of a square input")
    squash_names: bool = Field(default=False, description='write "potted plant" as one word, "pottedplant"')
    gradcam: bool = Field(default=True, description="weigh attention by the positive gradient of the match logit")
    dropout: DropoutSettings | None = Field(default=DropoutSettings(), description="Salience Dropout")
    threshold: float | None = Field(
        default=0.15, ge=0, lt=1, description="patch scores below this part of their name's range become 0"
    )
    background: Background = Field(default=Background(), description="when a pixel may be none of the names")
    blur: BlurSettings | None = Field(default=BlurSettings(), description="Gaussian blur of the score maps")
    crf: CrfSettings | None = Field(default=CrfSettings(), description="Dense CRF")

    @classmethod
    def preset(cls, name: str, overrides: Mapping[str, Any] | None = None) -> "Config":
        """A preset, with some settings replaced.

        Args:
            name: "default", "paper" or "authors".
            overrides: values by dotted field name, such as {"dropout.passes": 2, "crf": None}.

        Raises:
            ConfigError: an unknown preset or setting, or a value out of range.
        """
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
        return PRESETS[name].replace(overrides or {})

    def replace(self, overrides: Mapping[str, Any]) -> "Config":
        """A copy with some settings replaced, by dotted field name; see `preset`.

        Raises:
            ConfigError: an unknown setting, or a value out of range.
        """
        values = self.model_dump()
        for dotted, value in overrides.items():
            _put(values, dotted, value)
        try:
            return type(self).model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"] if isinstance(part, str) and part.isidentifier())
            raise ConfigError(f"setting {field}: {first['msg']}, got {first.get('input')!r:.200}") from error

    def without(self, *steps: str) -> "Config":
        """A copy with the named steps turned off.

        Args:
            steps: any of `STEPS`: gradcam, dropout, threshold, background, blur, crf.

        Raises:
            ConfigError: a word that is no step.
        """
        unknown = [step for step in steps if step not in STEPS]
        if unknown:
            raise ConfigError(f"no step is called {unknown[0]!r}; steps that can be turned off: {', '.join(STEPS)}")
        return self.replace({step: STEPS[step] for step in steps})


# What turns each step off.
STEPS: dict[str, Any] = {
    "gradcam": False,
    "dropout": None,
    "threshold": None,
    "background": {"policy": "never"},
    "blur": None,
    "crf": None,
}

PRESETS: dict[str, Config] = {
    # Ours: the paper's steps; layer, head, size and what else a checkpoint was tuned to come from the checkpoint.
    "default": Config(),
    # As the paper describes it: half of the remaining patches a pass (section 3.3), T = 0.15.
    "paper": Config(dropout=DropoutSettings(passes=4, drop=0.5), crf=CrfSettings(max_pixels=None)),
    # As the released code computes it: 10 patches a pass, ranked by tokens, pass 0 counted twice, squashed names.
    "authors": Config(
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
