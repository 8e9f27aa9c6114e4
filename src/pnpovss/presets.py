"""Presets, by name or by file: which settings to start from, and who chose them.

A file is what `pnpovss tune` writes: settings for one model, chosen without pixel labels, and how sure that choice is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pnpovss.config import PRESETS, Config, PresetName
from pnpovss.errors import ConfigError, InvalidInputError
from pnpovss.files.json import from_json, to_json

__all__ = ["Lead", "Preset", "Tuned", "read_preset"]

_LARGEST = 1_000_000  # bytes of a file of settings


class Lead(BaseModel):
    """By how much the chosen settings are ahead of the next ones.

    Attributes:
        value: difference of the mean rewards.
        low: lower end of its 95% interval.
        high: upper end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float
    low: float
    high: float


class Tuned(BaseModel):
    """Settings that were chosen without pixel labels, and how: what tuned.json holds.

    Attributes:
        kind: what the file is.
        format: of the file.
        settings: the chosen ones, by dotted name; they replace those of `preset`.
        preset: what they start from.
        model: for which they were chosen, by name, hub id or folder.
        revision: commit or content hash of its weights, where known.
        reward: what was made as large as it gets.
        judge: who looked at the masked photos; "none" where nobody did.
        judged_itself: whether that was the model that was tuned.
        searched: what was tried, in words.
        photos: how many.
        photos_digest: of their contents and names.
        names_from: who said which names are in them.
        evaluation_photos: all benchmarks that evaluate photos among these, which was asked for by the name of one; a
            number on such a benchmark is then no result.
        seed: of the order of photos, the draws and the sampler.
        wins: share of the bootstrap's draws over photos in which what was chosen last has the largest mean reward: the
            heads, at whatever threshold; the threshold, where no other heads were tried; all settings, where the whole
            method was searched. None where there was nothing to win against.
        compared: what it was compared with, itself included, on all photos, in words, such as "5 heads"; what came off
            worse before on fewer photos is not among it. None where `wins` is, and in files of earlier versions.
        lead: over the next heads, or, where the whole method was searched, the next settings; None with nothing to
            compare.
        undecided_between: heads whose difference from the chosen one may be chance, in words; empty where it is clear.
        created: day and time, ISO 8601, UTC.
        versions: of the packages that may change the choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["pnpovss tuned settings"] = "pnpovss tuned settings"
    format: Literal[1] = 1
    settings: dict[str, Any]
    preset: PresetName
    model: str
    revision: str | None
    reward: str
    judge: str
    judged_itself: bool
    searched: str
    photos: int
    photos_digest: str
    names_from: str
    evaluation_photos: tuple[str, ...]
    seed: int
    wins: float | None
    compared: str | None = None
    lead: Lead | None
    undecided_between: tuple[str, ...]
    created: str
    versions: dict[str, str]

    @property
    def source(self) -> str:
        """Who chose the settings, in a line, for the provenance of a result."""
        judge = f"{self.judge} (the model itself)" if self.judged_itself else self.judge
        doubt = f"; undecided between {', '.join(self.undecided_between)}" if self.undecided_between else ""
        used = f"; ON EVALUATION PHOTOS of {', '.join(self.evaluation_photos)}" if self.evaluation_photos else ""
        return (
            f"tuned without pixel labels: reward {self.reward}, judge {judge}, {self.photos} photos "
            f"({self.photos_digest}), {self._sure}{doubt}{used}"
        )

    @property
    def _sure(self) -> str:
        if self.wins is None:
            return "how sure is unknown, since nothing else was tried on all photos"
        return f"first in {self.wins:.0%} of draws" + (f" among {self.compared}" if self.compared else "")

    @property
    def as_json(self) -> bytes:
        """The file's content."""
        return to_json(self.model_dump(mode="json"), indent=1) + b"\n"


@dataclass(frozen=True)
class Preset:
    """Where settings start from.

    Attributes:
        name: as it was given; of a file, without its folder.
        base: the preset that it replaces settings of.
        settings: those, by dotted name.
        tuned: how they were chosen; None for a preset of this package.
    """

    name: str
    base: PresetName
    settings: Mapping[str, Any] = field(default_factory=dict)
    tuned: Tuned | None = None

    def config(self, recommended: Mapping[str, Any] | None = None) -> Config:
        """The settings.

        Args:
            recommended: what the checkpoint was tuned to; `default` and `best` take it, `paper` and `authors` do not.
        """
        ours = self.base in ("default", "best")
        config = Config.preset(self.base, recommended if ours else {})
        if self.base == "best":
            config = config.replace({"views": PRESETS["best"].model_dump()["views"]})  # whatever the model recommends
        return config.replace(self.settings)


def read_preset(name: str | Path) -> Preset:
    """A preset by its name, or from a file that ends with .json.

    Raises:
        ConfigError: an unknown name, or a file that cannot be read, is no tuned.json, or holds an unknown setting.
    """
    name = str(name)
    if not name.lower().endswith(".json"):
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}, or a file tuned.json")
        return Preset(name, name)  # type: ignore[arg-type]  # a key of PRESETS
    tuned = _read(Path(name))
    preset = Preset(Path(name).name, tuned.preset, tuned.settings, tuned)
    try:
        preset.config()
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    return preset


def _read(path: Path) -> Tuned:
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} is too large to be a file of settings; expected one that `pnpovss tune` wrote")
        return Tuned.model_validate(from_json(path.read_bytes()))
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot read the preset {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{path} is no file of tuned settings: {'.'.join(map(str, first['loc']))}: {first['msg']}; expected one "
            "that `pnpovss tune` wrote"
        ) from error
    except InvalidInputError as error:
        raise ConfigError(f"{path}: {error}; expected a file that `pnpovss tune` wrote") from error
