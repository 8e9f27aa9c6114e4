"""What a tuning is: everything that its answer depends on, kept in its folder, so that a resumed one is the same."""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from pnpovss._version import __version__
from pnpovss.config import Settings
from pnpovss.errors import ConfigError, InvalidInputError, OutputError
from pnpovss.files.json import from_json, to_json
from pnpovss.files.writing import write_all
from pnpovss.tuning.cells import Masking
from pnpovss.tuning.measures import MEASURES
from pnpovss.tuning.rewards import reward_named

__all__ = ["PIPELINE", "Searched", "TuningPlan", "check_search", "open_folder"]

Searched = Literal["heads", "threshold", "blur", "dropout", "size", "paper"]
PIPELINE = ("blur", "dropout", "size")  # need the whole method anew for every trial

_PLAN = "tuning.json"


class TuningPlan(BaseModel):
    """Everything that the answer depends on.

    Attributes:
        format: of the folder.
        version: of this package.
        model: name, hub id or folder.
        revision: of its weights, where known.
        dtype: it computes in.
        config: the settings to start from.
        photos: how many.
        photos_digest: of what they are called, their contents, their names and the vocabulary.
        judge: its key; "none" for measures alone.
        reward: or measure.
        masking: how masks are made.
        search: what is searched.
        thresholds: that are tried.
        means: of how many of the best heads the mean is tried.
        exhaustive: whether all cells are tried on all photos.
        trials: of the search that needs the pipeline.
        seed: of order, draws and sampler.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[5] = 5
    version: str = __version__
    model: str
    revision: str | None
    dtype: str
    config: Settings
    photos: int
    photos_digest: str
    judge: str
    reward: str
    masking: Masking
    search: tuple[Searched, ...]
    thresholds: tuple[float, ...]
    means: tuple[int, ...]
    exhaustive: bool
    trials: int
    seed: int

    @property
    def digest(self) -> str:
        """Of all of it: names its study where several tunings share a database."""
        return blake2b(to_json(self.model_dump(mode="json")), digest_size=8).hexdigest()


def check_search(search: tuple[str, ...], reward: str, *, has_judge: bool) -> None:
    """Refuse what does not go together.

    Raises:
        ConfigError: an unknown word, or a search, reward and judge that do not fit.
    """
    if unknown := [word for word in search if word not in get_args(Searched)]:
        raise ConfigError(f"nothing called {unknown[0]!r} can be searched; known: {', '.join(get_args(Searched))}")
    if not search or len(set(search)) < len(search):
        raise ConfigError(f"name each thing to search once, such as heads,threshold, got {', '.join(search) or 'none'}")
    if "paper" in search and (len(search) > 1 or reward != "paper"):
        raise ConfigError("--search paper is the authors' space and optimiser: alone, and with --reward paper")
    if has_judge:
        reward_named(reward)
        return
    if reward not in MEASURES:
        raise ConfigError(f"without a judge there are measures only, no reward {reward!r}: {', '.join(MEASURES)}")
    if search != ("heads",):
        raise ConfigError("measures without a judge tell heads from one another, nothing else: --search heads")


def open_folder(folder: Path, plan: TuningPlan) -> None:
    """Start a tuning in a new or empty folder, or resume the one that is there.

    Raises:
        ConfigError: the folder holds another tuning (the first difference is named), or other things.
        OutputError: it cannot be written.
    """
    path = folder / _PLAN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = os.listdir(folder)
    except OSError as error:
        raise OutputError(f"cannot use the folder {folder}: {error.strerror}") from error
    if _PLAN not in there:
        if there:
            raise ConfigError(f"{folder} holds other things ({min(there)}); name a new or empty folder")
        write_all({path: to_json(plan.model_dump(mode="json"), indent=1) + b"\n"})
        return
    try:
        before = TuningPlan.model_validate(from_json(path.read_bytes()))
    except (OSError, ValidationError, InvalidInputError) as error:
        raise ConfigError(f"{path} is damaged or of another version; tune into a new folder") from error
    for name in TuningPlan.model_fields:
        old, new = getattr(before, name), getattr(plan, name)
        if old != new:
            raise ConfigError(f"{folder} holds a tuning with another {name} ({old!s:.200}, now {new!s:.200})")
