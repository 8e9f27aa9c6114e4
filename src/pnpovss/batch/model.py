"""Which model segments, and with which settings: what a process is told so that it can load its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pnpovss.config import STEPS
from pnpovss.errors import ConfigError
from pnpovss.idle import refuse_idle
from pnpovss.presets import read_preset

if TYPE_CHECKING:
    from pnpovss.segmenter import Segmenter

__all__ = ["ModelChoice"]


@dataclass(frozen=True)
class ModelChoice:
    """The arguments of `Segmenter.from_pretrained`, checked before seconds of loading."""

    model: str = "mini"
    device: str = "auto"
    dtype: str = "float32"
    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    revision: str | None = None
    local_files_only: bool = False

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: an unknown preset, setting or step, a value out of range, or a setting that would change
                nothing: of a step that is left out, or that another setting leaves without an effect.
        """
        config = read_preset(self.preset).config().replace(self.settings).without(*self.without)
        for name, value in self.settings.items():
            step = name.partition(".")[0]
            if step in self.without and not _turns_off(name, value):
                raise ConfigError(
                    f"the setting {name} is of the step {step}, which is left out (--without {step}) and would not "
                    "heed it; leave one of the two out"
                )
        refuse_idle(config, self.settings, loaded=False)

    def load(self, *, share_encodings: bool = False) -> "Segmenter":
        """The model with its settings.

        Args:
            share_encodings: whether a filter of names will ask the same model, so that no photo is encoded twice.
        """
        from pnpovss.backbones.shared import share_encodings as shared  # torch: seconds
        from pnpovss.segmenter import Segmenter

        segmenter = Segmenter.from_pretrained(**vars(self))
        if not share_encodings:
            return segmenter
        return segmenter.replace(backbone=shared(segmenter.backbone))


def _turns_off(name: str, value: Any) -> bool:
    """Whether a setting says the same as leaving its step out."""
    return value is None or (name in STEPS and value == STEPS[name]) or (name, value) == ("background.policy", "never")
