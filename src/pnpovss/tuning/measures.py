"""What can be said of a head's map without any judge: one number a head and photo, from what was collected.

All are turned so that more is better, as far as that is known. None tells a threshold.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from jaxtyping import Float

from pnpovss.heads import HeadLook, head_statistics

__all__ = ["MEASURES", "measure", "spatial_entropy"]


def spatial_entropy(heat: Float[np.ndarray, "gh gw"]) -> float:
    """Entropy of the connected components (8 neighbours) of what exceeds a map's mean, by their mass; natural log.

    0 where all of it hangs together, log n where n components weigh the same. An even map has no such part: it counts
    as one of a component each patch, log(gh gw), the worst there is.
    """
    above = np.maximum(heat - heat.mean(), 0)
    if not above.any():
        return float(np.log(heat.size))
    count, parts = cv2.connectedComponents((above > 0).astype(np.uint8), connectivity=8)
    mass = np.bincount(parts.ravel(), weights=above.ravel(), minlength=count)[1:]
    shares = mass[mass > 0] / mass.sum()
    return float(-(shares * np.log(shares)).sum())


def _spatial_entropy(look: HeadLook) -> float:
    return -float(np.mean([spatial_entropy(heat) for heat in look.maps.cpu().double().numpy()]))


MEASURES: dict[str, Callable[[HeadLook, dict[str, float]], float]] = {
    # Names for what it is; each with why more should be better.
    "spatial-entropy": lambda look, _: _spatial_entropy(look),  # one thing is one blob
    "spread": lambda _, statistics: -statistics["spread"],  # a head that looks somewhere looks near one place
    "evenness": lambda _, statistics: -statistics["entropy"],  # and not everywhere
    "attention-sum": lambda _, statistics: statistics["patches"],  # on the photo, not on global tokens
    "overlap": lambda _, statistics: -statistics["overlap"],  # not at the same place for every name
    "relevance": lambda _, statistics: statistics["relevance"],  # the match rests on it
}


def measure(look: HeadLook) -> dict[str, float]:
    """All of `MEASURES` of one head in one photo."""
    statistics = head_statistics(look)
    with torch.no_grad():
        return {name: measured(look, statistics) for name, measured in MEASURES.items()}
