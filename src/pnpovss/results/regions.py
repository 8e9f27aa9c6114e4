"""The region of each name: its pixels, the box around them, and how probable they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Integer

__all__ = ["Box", "Region", "box_of", "inner_point", "regions"]

Box = tuple[int, int, int, int]  # x, y, width, height [px]


@dataclass(frozen=True, eq=False)
class Region:
    """One name's pixels, of which there is at least one.

    Attributes:
        index: position of the name among those asked for; its label is one more.
        mask: Bool "h w".
        box: the smallest around the mask: x, y, width, height [px].
        area: [px].
        score: mean probability over the region, in [0, 1].
    """

    index: int
    mask: Bool[np.ndarray, "h w"]
    box: Box
    area: int
    score: float


def regions(
    labels: Integer[np.ndarray, "h w"], scores: Float[np.ndarray, "kept h w"], kept: Sequence[int]
) -> list[Region]:
    """A region for each kept name that has pixels, in the order asked.

    Args:
        labels: 0 is the background, i + 1 the name at position i among those asked for.
        scores: in [0, 1], one map per kept name.
        kept: position of each of them among the names asked for.
    """
    found = ((index, labels == index + 1, score) for index, score in zip(kept, scores, strict=True))
    return [_region(index, mask, score) for index, mask, score in found if mask.any()]


def _region(index: int, mask: Bool[np.ndarray, "h w"], score: Float[np.ndarray, "h w"]) -> Region:
    mean = float(score[mask].mean(dtype=np.float64))
    return Region(index, mask, box_of(mask), area=int(mask.sum()), score=mean)


def box_of(mask: Bool[np.ndarray, "h w"]) -> Box:
    """The smallest box around a mask that has a pixel: x, y, width, height [px]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def inner_point(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int]:
    """The pixel of a mask that lies farthest from its outline and from the photo's edge: x, y [px]."""
    left, top, width, height = box_of(mask)
    framed = np.pad(mask[top : top + height, left : left + width].astype(np.uint8), 1)
    inside = cv2.distanceTransform(framed, cv2.DIST_L2, 3)
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    return left + int(x) - 1, top + int(y) - 1
