"""From the regions of names to things: connected pieces, cut where the heat map has several peaks, none too small.

The paper names several things of one class as what its method cannot tell apart. A region says where a name is, not how
often; what is known beside it is where the heat peaks, what each pass of Salience Dropout added, and the photo's edges.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Integer, UInt8

from pnpovss.config import InstanceSettings
from pnpovss.errors import InvalidInputError
from pnpovss.instances.cut import Cutter, require_scikit_image
from pnpovss.instances.pieces import around, merge_small, pieces, side_weights
from pnpovss.results.instances import MOST, Instances

__all__ = ["check_installed", "evidence", "find_instances", "gather"]


def check_installed(settings: InstanceSettings | None) -> None:
    """Say early what is missing.

    Raises:
        MissingExtraError: pieces are to be cut, and scikit-image is not installed.
    """
    if settings is not None and settings.split == "heat":
        require_scikit_image()


def find_instances(
    labels: Integer[np.ndarray, "h w"],
    scores: Float[np.ndarray, "kept h w"],
    kept: Sequence[int],
    passes: Float[np.ndarray, "pass kept gh gw"],
    photo: UInt8[np.ndarray, "h w 3"],
    settings: InstanceSettings,
    go_on: Callable[[], Any] = lambda: None,
) -> Instances:
    """The things of all names. Labels are not changed: with the rule "join", a name's things are together its region.

    Args:
        labels: 0 is the background, i + 1 the name at position i among those asked for.
        scores: in [0, 1], one map per kept name.
        kept: position of each of them among the names asked for.
        passes: not negative, what each pass of Salience Dropout adds to the heat map of each kept name.
        photo: RGB in [0, 255].
        settings: how pieces are cut, and what is too small.
        go_on: called before each name and each thing; what it raises ends the work.

    Raises:
        MissingExtraError: pieces are to be cut, and scikit-image is not installed.
        InvalidInputError: more things than 16 bits can number.
    """
    cutter, least = Cutter(photo, settings) if settings.split == "heat" else None, settings.smallest * labels.size
    found, count = np.zeros(labels.shape, np.int32), 0
    for place, index in enumerate(kept):
        go_on()
        region = labels == index + 1
        if not region.any():
            continue
        box = around(region)
        parts = pieces(region[box])
        if cutter is not None:
            parts = cutter.cut(parts, box, evidence(passes[:, place], settings), least)
        parts = merge_small(parts, least, join=settings.small == "join")
        np.add(parts, count, out=found[box], where=parts > 0)
        count += int(parts.max())
    return gather(found, labels, scores, kept, passes.sum(0), go_on=go_on)


def evidence(passes: Float[np.ndarray, "pass gh gw"], settings: InstanceSettings) -> Float[np.ndarray, "gh gw"]:
    """The heat whose peaks are counted: the sum of the passes, or of each pass stretched to a maximum of 1.

    What a later pass finds is faint beside the first, which saw the whole photo; at its own scale it may hold a peak.
    """
    if settings.evidence == "sum":
        return passes.sum(0)
    top = passes.max((1, 2), keepdims=True)
    return (passes / np.where(top > 0, top, 1)).sum(0)


def gather(
    found: Integer[np.ndarray, "h w"],
    labels: Integer[np.ndarray, "h w"],
    scores: Float[np.ndarray, "kept h w"],
    kept: Sequence[int],
    heat: Float[np.ndarray, "kept gh gw"],
    redrawn_by: str | None = None,
    go_on: Callable[[], Any] = lambda: None,
) -> Instances:
    """Things in their order, with their scores and their own heat.

    Args:
        found: 0 belongs to no thing; any other number to one, all of whose pixels have the same label.
        labels: of the photo, see `find_instances`.
        scores: see there.
        kept: see there.
        heat: of each kept name.
        redrawn_by: see `Instances`.
        go_on: called before each thing; what it raises ends the work.
    """
    areas = np.bincount(found.ravel(), minlength=1)
    names = np.full(len(areas), -1)
    names[found.ravel()] = labels.ravel()
    names -= 1
    order = [i for i in np.lexsort((-areas, names)).tolist() if i > 0 and areas[i] > 0]
    if len(order) > MOST:
        told = f"{len(order):,} things are more than can be numbered ({MOST:,})"
        raise InvalidInputError(f"{told}; raise instances.smallest")
    renamed = np.zeros(len(areas), np.uint16)
    renamed[order] = np.arange(1, len(order) + 1)
    numbered = renamed[found]
    index = tuple(int(names[i]) for i in order)
    (height, width), (down, across) = labels.shape, heat.shape[1:]
    shares = side_weights(height, down, cv2.INTER_AREA), side_weights(width, across, cv2.INTER_AREA)
    own = []
    for i, name in enumerate(index):
        go_on()
        own.append(_own(numbered == i + 1, scores[kept.index(name)], heat[kept.index(name)], shares))
    return Instances(
        map=numbered,
        name_index=index,
        scores=tuple(score for score, _ in own),
        heat=np.array([warm for _, warm in own], np.float32).reshape(-1, *heat.shape[1:]),
        redrawn_by=redrawn_by,
    )


def _own(
    mask: Bool[np.ndarray, "h w"],
    score: Float[np.ndarray, "h w"],
    heat: Float[np.ndarray, "gh gw"],
    shares: tuple[Float32[np.ndarray, "gh h"], Float32[np.ndarray, "gw w"]],
) -> tuple[float, Float[np.ndarray, "gh gw"]]:
    """Mean probability over a thing's pixels, and its name's heat times the share of each patch that is its own."""
    rows, columns = box = around(mask)
    inside = mask[box]
    share = shares[0][:, rows] @ inside.astype(np.float32) @ shares[1][:, columns].T
    return float(score[box][inside].mean(dtype=np.float64)), heat * share
