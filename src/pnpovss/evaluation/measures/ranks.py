"""Rank correlation."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["rank_correlation"]


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, ties by mean rank, in [-1, 1]; NaN where one side is constant."""
    ranks = np.stack([_ranks(np.asarray(values, np.float64)) for values in (first, second)])
    centred = ranks - ranks.mean(1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    return float(centred[0] @ centred[1] / norms.prod()) if norms.all() else float("nan")


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """From 0; equal values share the mean of their ranks."""
    below = (values[:, None] > values[None]).sum(1)
    alike = (values[:, None] == values[None]).sum(1)
    return below + (alike - 1) / 2
