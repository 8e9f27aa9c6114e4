"""The optimiser that the paper speaks of, on a table of rewards: random annealing, or random search.

The paper names the method and the number of trials, not its schedule. Here a trial changes one of layer, head and
threshold at random; it is kept if it is better, else with probability exp(change / temperature), and the temperature,
which starts at the spread of the rewards, falls to 0 in a straight line.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
from jaxtyping import Float

from pnpovss.tuning.cells import Cell

__all__ = ["RANDOM_TRIALS", "TRIALS", "anneal", "random_search"]

TRIALS = 34  # of the authors' annealing
RANDOM_TRIALS = 192  # of their earlier random search


def anneal(cells: Sequence[Cell], means: Float[np.ndarray, " cell"], trials: int = TRIALS, seed: int = 0) -> list[int]:
    """The columns that are tried, in order; the best of them is the answer.

    Args:
        cells: of one head each.
        means: the reward of each.
        trials: how many are tried.
        seed: of the random choices.
    """
    random, place = Random(seed), {cell: i for i, cell in enumerate(cells)}
    here = random.randrange(len(cells))
    tried, spread = [here], float(np.ptp(means))
    for trial in range(1, trials):
        there = _neighbour(cells, place, here, random)
        change, temperature = float(means[there] - means[here]), spread * (1 - trial / trials)
        tried.append(there)
        if change >= 0 or random.random() < math.exp(change / temperature):
            here = there
    return tried


def random_search(cells: Sequence[Cell], trials: int = RANDOM_TRIALS, seed: int = 0) -> list[int]:
    """The columns that are tried, drawn with replacement."""
    random = Random(seed)
    return [random.randrange(len(cells)) for _ in range(trials)]


def _neighbour(cells: Sequence[Cell], place: Mapping[Cell, int], here: int, random: Random) -> int:
    """A cell that differs in one of layer, head and threshold; the same one where there is no other."""
    [(layer, head)], threshold = cells[here].heads, cells[here].threshold
    alike = (
        [c for c in cells if c.heads[0][1] == head and c.threshold == threshold],
        [c for c in cells if c.heads[0][0] == layer and c.threshold == threshold],
        [c for c in cells if c.heads == cells[here].heads],
    )
    others = [cell for cell in random.choice(alike) if cell != cells[here]]
    return place[random.choice(others)] if others else here
