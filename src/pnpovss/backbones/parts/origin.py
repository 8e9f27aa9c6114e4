"""Where a checkpoint comes from and how it is loaded: what the cards of all backbones say alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pnpovss.backbones.base import Card, LoadOptions
from pnpovss.backbones.parts.checkpoint import CLIP_NORMALISATION, Rgb, read_config, read_normalisation
from pnpovss.backbones.parts.hub import locate

__all__ = ["Origin", "find", "find_kind"]


@dataclass(frozen=True)
class Origin:
    """Of a checkpoint.

    Attributes:
        name: hub id or folder.
        revision: the hub's commit, or a hash of a local folder's weights.
        options: how it is loaded.
        normalisation: RGB mean and standard deviation of its pixels.
    """

    name: str
    revision: str | None
    options: LoadOptions = field(default_factory=LoadOptions)
    normalisation: tuple[Rgb, Rgb] = CLIP_NORMALISATION

    def card(self, **own: Any) -> Card:
        """The card of a backbone, which adds what is its own: patch, max_tokens, heads, recommended, ..."""
        mean, std = self.normalisation
        device, dtype = self.options.device, self.options.dtype
        return Card(name=self.name, revision=self.revision, device=device, dtype=dtype, mean=mean, std=std, **own)


def find(
    name: str, options: LoadOptions, *model_types: str, normalisation: tuple[Rgb, Rgb] = CLIP_NORMALISATION
) -> tuple[Path, Origin]:
    """The folder of a checkpoint, and where it comes from; see `find_kind`."""
    folder, _, origin = find_kind(name, options, dict.fromkeys(model_types, normalisation))
    return folder, origin


def find_kind(
    name: str, options: LoadOptions, normalisations: Mapping[str, tuple[Rgb, Rgb]]
) -> tuple[Path, str, Origin]:
    """The folder of a checkpoint, its architecture, and where it comes from.

    Args:
        name: hub id or folder.
        options: how it is loaded.
        normalisations: by what the `model_type` of its config may be, those of its pixels where it does not say.

    Raises:
        CheckpointError: it cannot be had, or its files are missing, unreadable or of another architecture.
    """
    folder, revision = locate(name, options)
    kind = read_config(folder, *normalisations)["model_type"]
    return folder, kind, Origin(name, revision, options, read_normalisation(folder, normalisations[kind]))
