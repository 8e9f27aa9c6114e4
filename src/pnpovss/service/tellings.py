"""What the service tells of its model and of the settings."""

from typing import Any

from pydantic import BaseModel

from pnpovss.config import PRESETS, STEPS, Config, setting_names
from pnpovss.presets import read_preset
from pnpovss.segmenter import Segmenter
from pnpovss.service.limits import Limits
from pnpovss.service.schemas import OUTPUTS, ModelAnswer, SettingAnswer, SettingsAnswer, settings_schema

__all__ = ["model", "settings"]


def model(segmenter: Segmenter) -> ModelAnswer:
    """The model that is loaded."""
    card, config = segmenter.backbone.card, segmenter.config
    return ModelAnswer(
        name=card.name,
        revision=card.revision,
        device=str(card.device),
        dtype=str(card.dtype).removeprefix("torch."),
        patch=card.patch,
        heads=card.readable(config.read, gradient=config.gradcam),
        max_tokens=card.max_tokens,
        layer=config.layer,
        head=config.head,
        image_size=config.image_size,
        source=segmenter.settings_source,
    )


def settings(segmenter: Segmenter, limits: Limits) -> SettingsAnswer:
    """Every setting, its values in the presets and in this service, and the limits on requests."""
    card = segmenter.backbone.card
    presets = {name: read_preset(name).config(card.recommended.settings).resolve(card) for name in PRESETS}
    schemas = settings_schema()["properties"]
    rows = [
        SettingAnswer(
            name=name,
            description=description,
            schema=schemas.get(name, {"type": "object"}),
            value=_value(segmenter.config, name),
            presets={preset: _value(config, name) for preset, config in presets.items()},
        )
        for name, description in setting_names().items()
    ]
    return SettingsAnswer(
        settings=rows,
        steps=list(STEPS),
        presets=list(PRESETS),
        preset=segmenter.preset,
        outputs=OUTPUTS,
        limits=dict(vars(limits)),
    )


def _value(config: Config, dotted: str) -> Any:
    """A setting's value as JSON has it; None for none, or below a step that is off."""
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part, None)
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
