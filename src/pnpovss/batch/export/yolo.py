"""YOLO's segmentation format: images/, labels/ with polygons, data.yaml.

A polygon cannot have a hole, so a piece with one is cut in two through it. Corners are border pixels: readers that draw
polygons with their border (OpenCV's fillPoly, which ultralytics and supervision use) get the very mask back.

A line is an object to YOLO. Where a run tells things apart, the pieces of a thing are therefore one polygon, as
ultralytics joins those of COCO: bridges without width lead from piece to piece and back. Readers draw them as lines
of a pixel.
"""

import json
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Integer
from scipy.spatial import Delaunay

from pnpovss.batch.export.photos import flat_name, photo_file
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Run, RunPhoto

__all__ = ["YOLO", "polygons"]

INSIDE = 0.25  # of a pixel: whole again in readers that round (supervision) and in those that cut (ultralytics)

Polygon = Integer[np.ndarray, "_corner 2"]  # x, y [px]


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """images/train/NAME, labels/train/NAME.txt and data.yaml; class c of YOLO is category c + 1."""
    for name in ("images/train", "labels/train"):
        (folder / name).mkdir(parents=True)
    names = "".join(f"  {number - 1}: {json.dumps(name)}\n" for name, number in run.categories.items())
    # No `path`: ultralytics looks for a relative one elsewhere, and without it beside this file.
    split = "# The same photos twice: take some for val before you train.\ntrain: images/train\nval: images/train\n"
    (folder / "data.yaml").write_text(f"{split}names:\n{names}", "utf-8")
    for photo in run.photos():
        name = flat_name(photo.stem)
        if photos:
            suffix, content = photo_file(photo)
            (folder / "images/train" / f"{name}{suffix}").write_bytes(content)
        (folder / "labels/train" / f"{name}.txt").write_text("".join(_lines(photo)))
        yield photo.stem


def _lines(photo: RunPhoto) -> Iterator[str]:
    """A line per thing, or per piece where none are told apart: the class, then corners as parts of the sides."""
    height, width = photo.size
    apart = photo.record.get("instances") is not None
    for region in photo.objects():
        for polygon in [_as_one(region.mask)] if apart else polygons(region.mask):
            corners = (polygon + INSIDE) / (width, height)
            yield f"{region.category - 1} {' '.join(f'{value:.7g}' for value in corners.ravel())}\n"


def polygons(mask: Bool[np.ndarray, "h w"]) -> Iterator[Polygon]:
    """Polygons without holes whose pixels, borders included, are together those of a mask; at least 3 corners each."""
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for number, (left, top, width, height, _) in enumerate(boxes[1:], start=1):
        piece = pieces[top : top + height, left : left + width] == number
        for polygon in _without_holes(piece):
            yield polygon + np.array([left, top])


def _as_one(mask: Bool[np.ndarray, "h w"]) -> Polygon:
    """One polygon of all pieces; dots and straight lines beside larger ones, which have no area, are left out."""
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    solid = [number for number in range(1, len(boxes)) if not _is_flat(*boxes[number, 2:].tolist())]
    largest = 1 + int(boxes[1:, cv2.CC_STAT_AREA].argmax())
    return _joined(list(polygons(np.isin(pieces, solid or [largest]))))


def _is_flat(width: int, height: int, area: int) -> bool:
    """Whether a connected piece of so many pixels in such a box is a dot or a straight line."""
    return area == max(width, height) and min(width, height) in (1, area)


def _joined(parts: Sequence[Polygon]) -> Polygon:
    """One polygon of several: always the nearest one next, so that halves of a piece meet where it was cut."""
    if len(parts) == 1:
        return parts[0]
    corners, starts = np.concatenate(parts), np.cumsum([0, *map(len, parts)]).tolist()
    places, first, same = np.unique(corners, axis=0, return_index=True, return_inverse=True)
    part = np.repeat(np.arange(len(parts)), np.diff(starts))
    bridges: dict[int, list[tuple[int, int]]] = {}  # from a place to (corner, its part), the last one first
    for place, corner in _bridges(places, first, part):
        bridges.setdefault(place, []).append((corner, int(part[corner])))
    at, whole = same.ravel().tolist(), list[int]()
    left = list(range(starts[1]))[::-1]
    while left:
        whole.append(corner := left.pop())
        if further := bridges.get(at[corner]):
            start, to = further.pop()
            around = [*range(start, starts[to + 1]), *range(starts[to], start + 1)]
            left += [corner, *reversed(around)]  # and back
    return corners[whole]


def _bridges(
    places: Polygon, first: Integer[np.ndarray, " place"], part: Integer[np.ndarray, " corner"]
) -> Iterator[tuple[int, int]]:
    """From part 0 on, always the shortest bridge to a part not reached yet: the place that it leaves, its corner there.

    Edges of Delaunay's triangulation alone are looked at, which is exact: each of the shortest bridges from some parts
    to all others is one, for in the circle around it there is no further corner. Of these it is the one to the foremost
    corner, and from the one that was reached first.

    Args:
        places: of the corners, each once.
        first: the foremost corner at each place.
        part: of each corner.
    """
    ends, neighbours = Delaunay(places).vertex_neighbor_vertices
    order = np.argsort(first)  # places by their foremost corners, and so part by part
    own = np.split(order, np.searchsorted(part[first[order]], np.arange(1, part[-1] + 1)))
    reached, rank = np.zeros(len(own), bool), 0
    heap, here = list[tuple[int, int, int, int]](), 0  # squared length [px^2], corner there, rank and place here
    while True:
        reached[here] = True
        for place in own[here].tolist():
            rank += 1
            others = neighbours[ends[place] : ends[place + 1]]
            others = others[~reached[part[first[others]]]]
            lengths = ((places[others] - places[place]) ** 2).sum(1)
            for length, corner in zip(lengths.tolist(), first[others].tolist(), strict=True):
                heappush(heap, (length, corner, rank, place))
        while heap and reached[part[heap[0][1]]]:
            heappop(heap)
        if not heap:
            assert reached.all()
            return
        _, corner, _, place = heappop(heap)
        yield place, corner
        here = int(part[corner])


def _without_holes(piece: Bool[np.ndarray, "h w"]) -> Iterator[Polygon]:
    """The outline of a connected piece, or of its halves, cut through a hole, where it has one."""
    contours, tree = cv2.findContours(piece.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes = [contours[i][:, 0, 0] for i in range(len(contours)) if tree[0][i][3] >= 0]
    if not holes:
        yield _closed(contours[0][:, 0])
        return
    # Corners of a hole lie around it: halfway between the outermost is a column of its own. The middle one of all holes
    # leaves at most half of them to each side, so that for thousands a dozen cuts are made one in another.
    middles = sorted((int(columns.min()) + int(columns.max())) // 2 for columns in holes)
    cut = middles[len(middles) // 2]
    yield from polygons(piece[:, :cut])
    for polygon in polygons(piece[:, cut:]):
        yield polygon + np.array([cut, 0])


def _closed(corners: Polygon) -> Polygon:
    """A polygon of three corners or more: a dot or a line names its last corner again."""
    return np.concatenate([corners, np.repeat(corners[-1:], max(0, 3 - len(corners)), axis=0)])


YOLO = FormatSpec("yolo", "images/, labels/ with polygons, data.yaml", write, photos=False)
