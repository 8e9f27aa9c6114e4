"""How a result came about: model, revision, preset, every setting, versions."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

from pydantic import ConfigDict

from pnpovss._version import __version__
from pnpovss.config import Settings

__all__ = ["Provenance"]

PACKAGES = ("torch", "transformers")  # whose versions may change a result


@runtime_checkable
class _Loaded(Protocol):
    """What provenance needs to know of a loaded model."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def device(self) -> object: ...
    @property
    def dtype(self) -> object: ...


@dataclass(frozen=True)
class Provenance:
    """All that is needed to say how a result came about, and to make it again.

    Attributes:
        model: name, hub id or folder as given.
        revision: commit or content hash of its weights, where known.
        preset: the preset's name.
        config: the settings that ran.
        settings_source: where the checkpoint's recommended settings come from, or those of a tuned preset.
        prompts: the texts the model read.
        device: such as "cpu" or "cuda:0".
        dtype: compute dtype, such as "float32".
        versions: of pnpovss, torch and transformers.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # read back from a file, it holds these fields and no others

    model: str
    revision: str | None
    preset: str
    config: Settings
    settings_source: str
    prompts: tuple[str, ...]
    device: str
    dtype: str
    versions: dict[str, str]

    @classmethod
    def of(
        cls, model: _Loaded, *, preset: str, config: Settings, settings_source: str, prompts: tuple[str, ...] = ()
    ) -> "Provenance":
        """Of what a loaded model does with these settings here and now.

        Args:
            model: its name, revision, device and dtype.
            preset: the preset's name.
            config: every setting.
            settings_source: see the attribute.
            prompts: the texts that it read.
        """
        return cls(
            model=model.name,
            revision=model.revision,
            preset=preset,
            config=config,
            settings_source=settings_source,
            prompts=prompts,
            device=str(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            versions=dict(_versions()),
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {**vars(self), "config": self.config.model_dump(mode="json"), "prompts": list(self.prompts)}


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Of what may change a result; read from the disk once."""
    return (("pnpovss", __version__), *((package, version(package)) for package in PACKAGES))
