"""Rewards: how well a cell (a head at a threshold) finds what is in one photo, from a judge's stored logits alone.

Each gives one number a cell; the photo is the unit, so that its names, which share pixels, are one observation.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from pnpovss.errors import ConfigError
from pnpovss.tuning.similarities import NOTHING, Similarities

__all__ = ["OF_OWN_NAMES", "REWARDS", "RewardName", "keep_delete", "margin", "paper", "reward_named", "vocabulary"]

RewardName = Literal["keep-delete", "vocabulary", "margin", "paper"]
Reward = Callable[[Similarities], Float[np.ndarray, " cell"]]


def paper(seen: Similarities) -> Float[np.ndarray, " cell"]:
    """Eq (6): for how many of the photo's names k, Pr(k) of the photo under k's mask exceeds that of a black image.

    Pr is the softmax over the photo's own names, eq (7); with one name both sides are 1, and nothing can be scored.
    """
    own = _log_softmax(seen.rows[:, list(seen.names)])
    places = np.arange(len(seen.names))
    return (own[seen.kept, places] > own[NOTHING, places]).sum(1).astype(np.float64)


def margin(seen: Similarities) -> Float[np.ndarray, " cell"]:
    """As the paper's, but by how much: mean over the names of log Pr(k | kept) - log Pr(k | black); 0 with one name."""
    own = _log_softmax(seen.rows[:, list(seen.names)])
    places = np.arange(len(seen.names))
    return (own[seen.kept, places] - own[NOTHING, places]).mean(1)


def vocabulary(seen: Similarities) -> Float[np.ndarray, " cell"]:
    """Mean over the names of log Pr(k | kept), Pr the softmax over the whole vocabulary."""
    return _log_softmax(seen.rows)[seen.kept, list(seen.names)].mean(1)


def keep_delete(seen: Similarities) -> Float[np.ndarray, " cell"]:
    """Mean over the names of log Pr(k | kept) - log Pr(k | deleted), Pr over the whole vocabulary.

    A mask that leaves a part of the thing out leaves it in what remains; one that spills makes the thing harder to
    tell. Both cost.
    """
    everything = _log_softmax(seen.rows)
    names = list(seen.names)
    return (everything[seen.kept, names] - everything[seen.deleted, names]).mean(1)


REWARDS: dict[str, Reward] = {
    "keep-delete": keep_delete,
    "vocabulary": vocabulary,
    "margin": margin,
    "paper": paper,
}
OF_OWN_NAMES = ("margin", "paper")  # tell a photo's own names from one another: one name alone scores nothing


def reward_named(name: str) -> Reward:
    """A reward by its name.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in REWARDS:
        raise ConfigError(f"unknown reward {name!r}; known: {', '.join(get_args(RewardName))}")
    return REWARDS[name]


def _log_softmax(logits: Float[np.ndarray, "row word"]) -> Float[np.ndarray, "row word"]:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
