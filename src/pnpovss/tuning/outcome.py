"""What a tuning found: the choice, what it was made from, and the file of settings that comes of it."""

from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float

from pnpovss._version import __version__
from pnpovss.config import PRESETS, Config, Heads, Settings
from pnpovss.presets import Lead, Preset, Tuned
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.cells import Cell
from pnpovss.tuning.certainty import Certainty
from pnpovss.tuning.collect import Collected
from pnpovss.tuning.photos import TuningPhotos
from pnpovss.tuning.plan import TuningPlan
from pnpovss.tuning.scores import Scores
from pnpovss.tuning.search import Found
from pnpovss.tuning.space import heads_of

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

    @property
    def compares_heads(self) -> bool:
        """Whether other heads than the chosen ones were tried: the best of them were, on all photos."""
        return len({cell.heads for cell in self.cells}) > 1

    @property
    def compared(self) -> str:
        """Among what the chosen heads, or the chosen threshold, win: all that were tried on all photos, in words."""
        heads = {cell.heads for cell in self.cells}
        return f"{len(heads)} heads" if self.compares_heads else f"{len(self.cells)} thresholds"


def tuned_of(
    outcome: Outcome,
    found: Found | None,
    segmenter: Segmenter,
    config: Settings,
    searched: str,
    *,
    judged_itself: bool,
) -> Tuned:
    """The file of settings, with the certainty of the choice that was made last.

    Args:
        outcome: what was found of heads and thresholds.
        found: by the search over the whole method that followed; None where there was none.
        segmenter: that was tuned; tells the preset and the model.
        config: the chosen settings.
        searched: what was tried, in words.
        judged_itself: whether the judge was the model.
    """
    plan, card = outcome.plan, segmenter.backbone.card
    sure = outcome.sure if found is None else found.sure
    base = segmenter.preset if segmenter.preset in PRESETS else "default"
    start = Preset(base, base).config(card.recommended.settings)  # type: ignore[arg-type]  # a key of PRESETS
    wins = sure.wins if found is not None or outcome.compares_heads else sure.cell_wins
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
        wins=None if wins is None else round(wins, 4),
        compared=None if wins is None else outcome.compared if found is None else found.compared,
        lead=lead,
        undecided_between=tuple(
            Cell(heads, 0.0).heads_in_words for heads in _undecided(outcome, found, config.all_heads)
        ),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={"pnpovss": __version__, **{name: known for name in _PACKAGES if (known := _version(name))}},
    )


def _undecided(outcome: Outcome, found: Found | None, chosen: Heads) -> list[Heads]:
    """Heads that the chosen ones cannot be told from by the search, or by the maps alone where it never tried them."""
    by_maps = [outcome.cells[i].heads for i in outcome.sure.undecided]
    if found is None:
        return by_maps
    tried = {heads_of(row["heads"]) for row in found.rows if "heads" in row}
    searched = [heads_of(choice["heads"]) for choice in found.undecided if "heads" in choice]
    left = dict.fromkeys([*searched, *(heads for heads in by_maps if heads not in tried)])
    return [heads for heads in left if heads != chosen]


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
