"""What one result looks like, told from the label map and the heat maps alone: no mask is needed."""

import numpy as np

from pnpovss.hints import advice
from pnpovss.results.outlines import pieces, roughness
from pnpovss.results.segmentation import Segmentation

__all__ = ["looks_like"]

# A name is told by its own map; thresholds are coarse on purpose, so that a line means something.
SPILLS = 0.85  # of the photo, beside a background or other names
TINY = 0.002  # of the photo
UNCOVERED = 0.35  # share of a name's heat that lies in its mask, below which much was left out
ROUGH = 2.2  # the Dense CRF as preset brings most outlines to 1.7 or 2, which says nothing of one photo
PIECES = 8
ALIKE = 0.95  # cosine of two names' heat maps
ROWS = 256  # names that are compared with all others at a time
LARGEST = 1024  # longer side [px]; of larger label maps every n-th pixel is looked at, which costs 1/n^2 and more

NOTHING = "it may not be in the photo; leave the name out, or let the model decide which names are there"
CONFUSING = "the model does not tell them apart here; ask for one of them, or in other words"


def looks_like(segmentation: Segmentation) -> list[str]:
    """Which failures a result looks like, each as a line that says what to change.

    A guess from the label map and the heat maps; an empty list does not mean that the result is right. What to change
    follows from the settings of the result. Of names that were left out nothing is said; see `doubts`.
    """
    several, config = len(segmentation.kept) > 1, segmentation.provenance.config
    step = -(-max(segmentation.size) // LARGEST)
    lines = []
    for index in segmentation.kept:
        name = segmentation.names[index]
        mask = segmentation.labels[::step, ::step] == index + 1
        share = segmentation.shares[index]
        if share < TINY:
            lines.append(f"{name.text!r} was hardly found anywhere: {NOTHING}")
            continue
        if share > SPILLS and (several or segmentation.has_background):
            mark = f"looks like over-segmentation: {name.text!r} covers {share:.0%} of the photo"
            lines.append(f"{mark}; {advice.for_over(config)}")
        elif _covered(segmentation.heatmap(name.text)[::step, ::step], mask) < UNCOVERED:
            mark = f"looks like under-segmentation: the model looks beyond the mask of {name.text!r}"
            lines.append(f"{mark}; {advice.for_under(config)}")
        if roughness(mask) > ROUGH:
            lines.append(f"looks jagged: the outline of {name.text!r}; {advice.for_jagged(config)}")
        elif (found := pieces(mask)) > PIECES:
            lines.append(f"{name.text!r} is in {found} pieces: {advice.for_fragments(config)}")
    return lines + _alike(segmentation)


def _covered(heat: np.ndarray, mask: np.ndarray) -> float:
    """Share of the heat that lies in the mask, in [0, 1]; 1 where there is no heat."""
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total > 0 else 1.0


def _alike(segmentation: Segmentation) -> list[str]:
    """Pairs of names that lead the model to the same place."""
    count = len(segmentation.kept)
    if count < 2:
        return []
    maps = segmentation.heatmaps.names.reshape(count, -1).astype(np.float64)
    norms = np.linalg.norm(maps, axis=1, keepdims=True)
    unit = maps / np.where(norms > 0, norms, 1)
    texts = [segmentation.names[i].text for i in segmentation.kept]
    lines = []
    for start in range(0, count, ROWS):
        close = np.triu(unit[start : start + ROWS] @ unit.T > ALIKE, k=start + 1)
        for i, j in np.argwhere(close):
            pair = f"{texts[start + i]!r} and {texts[j]!r}"
            lines.append(f"looks like confusion: {pair} light up the same places; {CONFUSING}")
    return lines
