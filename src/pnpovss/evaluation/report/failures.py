"""The ways in which a label map fails, told by their marks.

Each class in each photo that the truth holds is one of these, or none:

    missed              less than a tenth of the object was found
    over-segmentation   the mask spills: most of the object was found, and much that is not the object
    under-segmentation  the mask is on the object but covers less than half of it
    jagged              the object was found, but its outline is much rougher than the true one
    confusion           a good part of the object was called by another name of the vocabulary

`fragments` (a mask in several pieces where the object is in one) may come on top of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.regions import Region

__all__ = ["CONFUSED", "FAILURES", "SMALLEST", "Finding", "failures_of", "find_failures", "is_judged"]

FAILURES = {
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
        failure: of `FAILURES`.
        iou: of the class in this photo, in [0, 1].
        other: the class that it was taken for, with confusion.
        share: of the object's pixels that were, with confusion.
    """

    key: str
    label: int
    failure: str
    iou: float
    other: int | None = None
    share: float = 0.0


def failures_of(region: Region) -> list[str]:
    """The marks of one class in one photo, confusion aside; none where the truth does not hold the class."""
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


def is_judged(region: Region, size: Sequence[int]) -> bool:
    """Whether an object is large enough to be judged, in a photo of this height and width [px]."""
    return region.truth > 0 and region.truth >= SMALLEST * size[0] * size[1]


def find_failures(
    key: str, regions: Sequence[Region], confusion: Confusion, size: Sequence[int], background: int | None
) -> list[Finding]:
    """The failures in one photo.

    Args:
        key: of the photo.
        regions: of its classes.
        confusion: of this photo alone.
        size: height and width of the photo [px].
        background: the background's class index, if there is one; being called background is no confusion.
    """
    findings = []
    for region in regions:
        if not is_judged(region, size):
            continue
        findings += [Finding(key, region.label, mark, region.iou) for mark in failures_of(region)]
        called = confusion.counts[region.label, :-1].astype(float)
        called[region.label] = 0
        if background is not None:
            called[background] = 0
        other = int(called.argmax())
        share = float(called[other] / region.truth)
        if share >= CONFUSED:
            findings.append(Finding(key, region.label, "confusion", region.iou, other, share))
    return findings
