"""What became of each thing of a photo: told apart, merged, cut up, or missed; and which have a peak of heat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Integer

from pnpovss.datasets.base import Thing

__all__ = ["FOUND", "HOLDS", "Fate", "Neighbours", "fates", "neighbours", "own_peaks"]

FOUND = 0.25  # share of a thing that its class's region covers, below which it is missed
HOLDS = 0.25  # share of a thing from which on a piece is said to hold it
NEAR = 0.01  # things so near, of the photo's diagonal, touch

Fate = Literal["apart", "cut up", "merged", "missed"]


@dataclass(frozen=True)
class Neighbours:
    """A thing among those of its class.

    Attributes:
        count: how many of its class are in the photo, crowds left out.
        touches: whether it touches another of them.
        overlap: largest IoU of its box with the box of another, in [0, 1].
        share: of the photo that it covers, in (0, 1].
    """

    count: int
    touches: bool
    overlap: float
    share: float


def neighbours(things: Sequence[Thing]) -> list[Neighbours]:
    """Of each thing; none may be a crowd."""
    return [
        _among(thing, [other for other in things if other.row == thing.row and other is not thing]) for thing in things
    ]


def _among(thing: Thing, others: Sequence[Thing]) -> Neighbours:
    near = max(1, round(NEAR * float(np.hypot(*thing.mask.shape))))
    wide = cv2.dilate(thing.mask.astype(np.uint8), np.ones((2 * near + 1, 2 * near + 1), np.uint8)) > 0
    return Neighbours(
        count=1 + len(others),
        touches=any(bool((wide & other.mask).any()) for other in others),
        overlap=max((_box_iou(thing.mask, other.mask) for other in others), default=0.0),
        share=float(thing.mask.mean()),
    )


def _box_iou(first: Bool[np.ndarray, "h w"], second: Bool[np.ndarray, "h w"]) -> float:
    rows, columns = ([_extent(np.asarray(mask.any(axis))) for mask in (first, second)] for axis in (1, 0))
    inside = _common(*rows) * _common(*columns)
    areas = [(row[1] - row[0]) * (column[1] - column[0]) for row, column in zip(rows, columns, strict=True)]
    return inside / (sum(areas) - inside)


def _extent(there: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    places = np.flatnonzero(there)
    return int(places[0]), int(places[-1]) + 1


def _common(first: tuple[int, int], second: tuple[int, int]) -> int:
    return max(0, min(first[1], second[1]) - max(first[0], second[0]))


def fates(truth: Sequence[Thing], found: Sequence[Thing]) -> list[Fate]:
    """What became of each thing of the truth; none may be a crowd.

    Missed: pieces of its class cover less than a quarter of it. Else the piece that covers most of it decides: merged,
    where that piece holds (a quarter of) another thing of the class, too; cut up, where another piece holds it, too;
    apart otherwise. This asks whether things are told apart, not how well they are drawn: for that there is the IoU.
    """
    return [_fate(thing, truth, [other for other in found if other.row == thing.row]) for thing in truth]


def _fate(thing: Thing, truth: Sequence[Thing], pieces: Sequence[Thing]) -> Fate:
    shares = [_held(thing, piece) for piece in pieces]
    if sum(shares) < FOUND:
        return "missed"
    piece = pieces[int(np.argmax(shares))]
    others = [other for other in truth if other.row == thing.row and other is not thing]
    if any(_held(other, piece) >= HOLDS for other in others):
        return "merged"
    return "cut up" if sum(share >= HOLDS for share in shares) > 1 else "apart"


def _held(thing: Thing, piece: Thing) -> float:
    return float(piece.mask[thing.mask].mean())


def own_peaks(
    things: Sequence[Thing], summits: Integer[np.ndarray, "sh sw"], heat: Float[np.ndarray, "sh sw"], reach: int
) -> list[int]:
    """How many peaks of a heat map each thing has to itself.

    Args:
        things: of one class.
        summits: the peaks, numbered from 1, see `instances.cut.peaks`.
        heat: of their class, of the same size.
        reach: a peak so far outside of a thing still is its own, unless it lies in another [px of the map].
    """
    size = heat.shape[::-1]
    inside = [cv2.resize(thing.mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0 for thing in things]
    around = [cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0 for mask in inside]
    counts = [0] * len(things)
    for number in range(1, int(summits.max(initial=0)) + 1):
        place = np.unravel_index(np.where(summits == number, heat, -1).argmax(), heat.shape)
        holders = [i for i, mask in enumerate(inside) if mask[place]] or [
            i for i, mask in enumerate(around) if mask[place]
        ]
        if holders:
            counts[min(holders, key=lambda i: int(inside[i].sum()))] += 1
    return counts
