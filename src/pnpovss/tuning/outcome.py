"""What a tuning found: the choice, what it was made from, and the file of settings that comes of it."""

from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float

from pnpovss._version import __version__
from pnpovss.config import PRESETS, Config, Settings
from pnpovss.presets import Lead, Preset, Tuned
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.cells import Cell
from pnpovss.tuning.certainty import Certainty
from pnpovss.tuning.collect import Collected
from pnpovss.tuning.photos import TuningPhotos
from pnpovss.tuning.plan import TuningPlan
from pnpovss.tuning.scores import Scores

__all__ = ["Outcome", "differing", "tuned_of"]

_PACKAGES = ("torch", "transformers", "numpy", "opencv-python-headless", "optuna")


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that a tuning by heads and thresholds found.

    Attributes:
        plan: what was asked for.
        photos: that it was chosen on, in order.
        collected: the maps.
        stages: what the judge said, by stage; empty without one.
        cells: those that were tried on all photos.
        rewards: of each photo and each of these cells.
        sure: which of them was chosen, and how sure that is.
        reference: the column of the settings that the tuning started from; None where they were not tried.
        path: the columns that an optimiser tried, in order; empty where all were compared.
    """

    plan: TuningPlan
    photos: TuningPhotos
    collected: Collected
    stages: dict[str, Scores]
    cells: tuple[Cell, ...]
    rewards: Float[np.ndarray, "photo cell"]
    sure: Certainty
    reference: int | None
    path: tuple[int, ...] = ()

    @property
    def winner(self) -> Cell:
        """What was chosen."""
        return self.cells[self.sure.winner]


def tuned_of(outcome: Outcome, segmenter: Segmenter, config: Settings, searched: str, *, judged_itself: bool) -> Tuned:
    """The file of settings.

    Args:
        outcome: what was found.
        segmenter: that was tuned; tells the preset and the model.
        config: the chosen settings.
        searched: what was tried, in words.
        judged_itself: whether the judge was the model.
    """
    plan, sure, card = outcome.plan, outcome.sure, segmenter.backbone.card
    base = segmenter.preset if segmenter.preset in PRESETS else "default"
    start = Preset(base, base).config(card.recommended.settings)  # type: ignore[arg-type]  # a key of PRESETS
    lead = None if sure.lead is None else Lead(value=sure.lead[0], low=sure.lead[1], high=sure.lead[2])
    return Tuned(
        settings=differing(start.resolve(card), config),
        preset=base,  # type: ignore[arg-type]
        model=card.name,
        revision=card.revision,
        reward=plan.reward,
        judge=plan.judge,
        judged_itself=judged_itself,
        searched=searched,
        photos=plan.photos,
        photos_digest=plan.photos_digest,
        names_from=outcome.photos.names_from,
        evaluation_photos=outcome.photos.evaluation_photos,
        seed=plan.seed,
        wins=round(sure.wins, 4),
        lead=lead,
        undecided_between=tuple(outcome.cells[i].heads_in_words for i in sure.undecided),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={"pnpovss": __version__, **{name: found for name in _PACKAGES if (found := _version(name))}},
    )


def differing(start: Config, config: Settings) -> dict[str, Any]:
    """The settings that make `config` of `start`, by name; heads and threshold stand there in any case."""
    before, after = start.model_dump(mode="json"), config.model_dump(mode="json")
    heads = ("heads",) if config.heads else ("layer", "head")
    others = [
        name for name in after if name not in ("layer", "head", "heads", "threshold") and before[name] != after[name]
    ]
    return {name: after[name] for name in (*heads, "threshold", *others)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
