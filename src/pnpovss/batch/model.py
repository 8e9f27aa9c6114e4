"""Which model segments, and with which settings: what a process is told so that it can load its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
            ConfigError: an unknown preset, setting or step, or a value out of range.
        """
        read_preset(self.preset).config().replace(self.settings).without(*self.without)

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
