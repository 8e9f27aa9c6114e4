"""Successive halving over photos: what is plainly worse on a few photos is not tried on all."""

import math
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["FACTOR", "FIRST", "LEADERS", "Round", "rounds", "survivors"]

FIRST = 16  # photos that all cells are tried on
FACTOR = 3  # then so many times the photos, and the best such part of the cells
LEADERS = 4  # heads of which a cell is left in all rounds: a choice is no surer for its rivals having been dropped


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        until: how many photos have been seen at its end, from the first.
        cells: how many cells are tried, beside those that stay in any case (see `survivors`).
    """

    until: int
    cells: int


def rounds(photos: int, cells: int, *, first: int = FIRST, factor: int = FACTOR) -> list[Round]:
    """All cells on the first photos, the best third on thrice as many, and so on; the last round sees all photos."""
    plan, until = [], min(first, photos)
    while until < photos:
        plan.append(Round(until, cells))
        until, cells = min(until * factor, photos), max(1, math.ceil(cells / factor))
    return [*plan, Round(photos, cells)]


def survivors(
    rewards: Float[np.ndarray, "photo cell"],
    alive: Sequence[int],
    count: int,
    groups: Sequence[Hashable],
    always: Collection[int] = (),
) -> list[int]:
    """The best cells by their mean reward, and the best one of each of the best groups; ascending, ties to the first.

    Args:
        rewards: of the photos that all of `alive` have been tried on.
        alive: columns of the cells that are left.
        count: how many stay.
        groups: of each column, what is compared in the end, such as its heads; of the best `LEADERS` a cell stays.
        always: cells that stay whatever they got, beside those, such as the model's own settings.
    """
    means = rewards[:, list(alive)].mean(0)
    order = [alive[i] for i in np.argsort(-means, kind="stable")]
    leaders: dict[Hashable, int] = {}
    for cell in order:
        leaders.setdefault(groups[cell], cell)
    return sorted({*order[:count], *list(leaders.values())[:LEADERS], *(cell for cell in always if cell in alive)})
