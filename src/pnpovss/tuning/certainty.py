"""How sure a choice is, given that the photos are a sample: the bootstrap over photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["DRAWS", "Certainty", "certainty", "means_of_draws"]

DRAWS = 2000
_LEVEL = 0.95


@dataclass(frozen=True)
class Certainty:
    """A choice and how sure it is.

    Attributes:
        winner: the column that was chosen.
        wins: share of the draws in which its group (its heads, at whatever threshold) holds the largest mean; a draw in
            which several groups hold it is shared among them. None where there is no other group to win against.
        cell_wins: share of the draws in which it is that column itself, counted alike; None where it is the only one.
        runner_up: the best column of another group; None where there is none.
        lead: difference of their means, with the ends of its 95% interval; None without a runner-up.
        undecided: the best column of each other group whose difference from the winner may be chance, best first.
    """

    winner: int
    wins: float | None
    cell_wins: float | None
    runner_up: int | None
    lead: tuple[float, float, float] | None
    undecided: tuple[int, ...]


def means_of_draws(
    rewards: Float[np.ndarray, "photo cell"], photos: int | None = None, draws: int = DRAWS, seed: int = 0
) -> Float[np.ndarray, "draw cell"]:
    """The mean rewards of draws of photos with replacement.

    Args:
        rewards: of each photo and cell.
        photos: how many are drawn each time; as many as there are if not given.
        draws: how many times.
        seed: of the draws.
    """
    count = len(rewards)
    weights = np.random.default_rng(seed).multinomial(photos or count, np.full(count, 1 / count), size=draws)
    return weights @ rewards / (photos or count)


def certainty(
    rewards: Float[np.ndarray, "photo cell"],
    groups: Sequence[object],
    winner: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Certainty:
    """Choose the largest mean, and tell how sure that is.

    Args:
        rewards: finite.
        groups: of each column, what it shares with others, such as its heads; thresholds are settings of a group.
        winner: the column that was chosen otherwise; that of the largest mean if not given.
        draws: of the bootstrap.
        seed: of the draws.
    """
    means, drawn = rewards.mean(0), means_of_draws(rewards, None, draws, seed)
    winner = int(means.argmax()) if winner is None else winner
    first = drawn == drawn.max(1, keepdims=True)  # draw column
    columns = [i for i, group in enumerate(groups) if group == groups[winner]]
    rivals, at_top = [], first[:, columns].any(1) * 1.0
    shared = at_top.copy()
    for group in dict.fromkeys(groups):
        own = [i for i, each in enumerate(groups) if each == group]
        if group != groups[winner]:
            lead = drawn[:, columns].max(1) - drawn[:, own].max(1)
            low, high = np.quantile(lead, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
            rivals.append((own[int(means[own].argmax())], float(low), float(high)))
            shared += first[:, own].any(1)
    rivals.sort(key=lambda rival: -means[rival[0]])
    lead = None if not rivals else (float(means[winner] - means[rivals[0][0]]), *rivals[0][1:])
    return Certainty(
        winner=winner,
        wins=float((at_top / shared).mean()) if rivals else None,
        cell_wins=float((first[:, winner] / first.sum(1)).mean()) if len(groups) > 1 else None,
        runner_up=rivals[0][0] if rivals else None,
        lead=lead,
        undecided=tuple(column for column, low, _ in rivals if low <= 0),
    )
