"""The ways in which a label map fails, told by their marks: with a mask to compare with, or by the look of it alone.

With a mask, each class in each photo that the truth holds is one of these, or none:

    missed              less than a tenth of the object was found
    over-segmentation   the mask spills: most of the object was found, and much that is not the object
    under-segmentation  the mask is on the object but covers less than half of it
    jagged              the object was found, but its outline is much rougher than the true one
    confusion           a good part of the object was called by another name of the vocabulary

`fragments` (a mask in several pieces where the object is in one) may come on top of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.regions import Region, parts, roughness
from pnpovss.hints import advice
from pnpovss.results.segmentation import Segmentation

__all__ = ["SIGNATURES", "Finding", "find_failures", "looks_like", "signatures_of"]

SIGNATURES = {
    "missed": "less than 10% of the object was found",
    "over-segmentation": "at least 60% of the object was found, but less than 60% of the mask is on it",
    "under-segmentation": "at least 60% of the mask is on the object, but less than 50% of the object was found",
    "jagged": "found (IoU 50% or more), with an outline at least 1.3 times as rough as the true one",
    "fragments": "at least three more pieces than the object has",
    "confusion": "at least 20% of the object was called by one other name",
}

MISSED = 0.1
FOUND, ON_IT, HALF = 0.6, 0.6, 0.5
ROUGHER = 1.3
MORE_PIECES = 3
CONFUSED = 0.2
SMALLEST = 0.001  # objects below this share of the photo are left out: a few pixels decide nothing


@dataclass(frozen=True)
class Finding:
    """A failure in one photo.

    Attributes:
        key: of the photo.
        label: true class index.
        signature: of `SIGNATURES`.
        iou: of the class in this photo, in [0, 1].
        other: the class that it was taken for, with confusion.
        share: of the object's pixels that were, with confusion.
    """

    key: str
    label: int
    signature: str
    iou: float
    other: int | None = None
    share: float = 0.0


def signatures_of(region: Region) -> list[str]:
    """The marks of one class in one photo, confusion aside; none where the truth lacks the class."""
    if not region.truth:
        return []
    found = []
    if region.recall < MISSED:
        found.append("missed")
    elif region.recall >= FOUND and region.precision < ON_IT:
        found.append("over-segmentation")
    elif region.recall < HALF and region.precision >= ON_IT:
        found.append("under-segmentation")
    elif region.iou >= 0.5 and region.predicted_roughness >= ROUGHER * region.truth_roughness:
        found.append("jagged")
    if region.predicted_parts >= region.truth_parts + MORE_PIECES:
        found.append("fragments")
    return found


def find_failures(
    key: str, regions: Sequence[Region], confusion: Confusion, pixels: int, background: int | None
) -> list[Finding]:
    """The failures in one photo.

    Args:
        key: of the photo.
        regions: of its classes.
        confusion: of this photo alone.
        pixels: of the photo.
        background: the background's class index, if there is one; being called background is no confusion.
    """
    findings = []
    for region in regions:
        if region.truth < SMALLEST * pixels:
            continue
        findings += [Finding(key, region.label, mark, region.iou) for mark in signatures_of(region)]
        called = confusion.counts[region.label, :-1].astype(float)
        called[region.label] = 0
        if background is not None:
            called[background] = 0
        other = int(called.argmax())
        share = float(called[other] / region.truth)
        if share >= CONFUSED:
            findings.append(Finding(key, region.label, "confusion", region.iou, other, share))
    return findings


# Without a mask. A name is told by its own map; thresholds are coarse on purpose, so that a line means something.
SPILLS = 0.85  # of the photo, beside a background or other names
TINY = 0.002  # of the photo
UNCOVERED = 0.35  # share of a name's heat that lies in its mask, below which much was left out
ROUGH = 2.2  # the Dense CRF as preset brings most outlines to 1.7 or 2, which says nothing of one photo
PIECES = 8
ALIKE = 0.95  # cosine of two names' heat maps

NOTHING = "it may not be in the photo; leave the name out, or let the model decide which names are there"
CONFUSING = "the model does not tell them apart here; ask for one of them, or in other words"


def looks_like(segmentation: Segmentation) -> list[str]:
    """Which failures a result looks like, each as a line that says what to change; no mask is needed.

    A guess from the label map and the heat maps; an empty list does not mean that the result is right. What to change
    follows from the settings of the result.
    """
    several, config = len(segmentation.names) > 1, segmentation.provenance.config
    lines = []
    for index, name in enumerate(segmentation.names):
        mask = segmentation.labels == index + 1
        share = segmentation.shares[index]
        if share < TINY:
            lines.append(f"{name.text!r} was hardly found anywhere: {NOTHING}")
            continue
        if share > SPILLS and (several or segmentation.has_background):
            mark = f"looks like over-segmentation: {name.text!r} covers {share:.0%} of the photo"
            lines.append(f"{mark}; {advice.for_over(config)}")
        elif _covered(segmentation.heatmap(name.text), mask) < UNCOVERED:
            mark = f"looks like under-segmentation: the model looks beyond the mask of {name.text!r}"
            lines.append(f"{mark}; {advice.for_under(config)}")
        if roughness(mask) > ROUGH:
            lines.append(f"looks jagged: the outline of {name.text!r}; {advice.for_jagged(config)}")
        elif (pieces := parts(mask)) > PIECES:
            lines.append(f"{name.text!r} is in {pieces} pieces: {advice.for_fragments(config)}")
    return lines + _alike(segmentation)


def _covered(heat: np.ndarray, mask: np.ndarray) -> float:
    """Share of the heat that lies in the mask, in [0, 1]; 1 where there is no heat."""
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total > 0 else 1.0


def _alike(segmentation: Segmentation) -> list[str]:
    """Pairs of names that lead the model to the same place."""
    maps = segmentation.heatmaps.names.reshape(len(segmentation.names), -1).astype(np.float64)
    norms = np.linalg.norm(maps, axis=1, keepdims=True)
    unit = maps / np.where(norms > 0, norms, 1)
    texts = [name.text for name in segmentation.names]
    return [
        f"looks like confusion: {texts[i]!r} and {texts[j]!r} light up the same places; {CONFUSING}"
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if unit[i] @ unit[j] > ALIKE
    ]
