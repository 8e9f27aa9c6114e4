"""YOLO's segmentation format: images/, labels/ with polygons, data.yaml.

A polygon cannot have a hole, so a piece with one is cut in two through it. Corners are border pixels: readers that draw
polygons with their border (OpenCV's fillPoly, which ultralytics and supervision use) get the very mask back.

A line is an object to YOLO. Where a run tells things apart, the pieces of a thing are therefore one polygon, as
ultralytics joins those of COCO: bridges without width lead from piece to piece and back. Readers draw them as lines
of a pixel.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Integer

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
    whole = last = parts[0]
    left = np.concatenate(parts[1:]).astype(np.int32) if len(parts) > 1 else whole[:0]  # corners of what is not joined
    part = np.repeat(np.arange(1, len(parts)), [len(each) for each in parts[1:]])
    nearest, length = np.zeros_like(left), np.full(len(left), np.iinfo(np.int32).max)  # corner of `whole`, [px squared]
    while len(left):
        for some in np.array_split(last, -(-len(last) // 64)):  # thousands of corners by thousands would not fit
            lengths = (some[:, :1] - left[:, 0]) ** 2 + (some[:, 1:] - left[:, 1]) ** 2
            best = lengths.argmin(0)
            shorter = lengths[best, np.arange(len(left))]
            closer = shorter < length
            nearest[closer], length[closer] = some[best[closer]], shorter[closer]
        to = int(length.argmin())
        last, corner = parts[part[to]], int((part[:to] == part[to]).sum())
        at = int((whole == nearest[to]).all(1).argmax()) + 1
        whole = np.concatenate([whole[:at], last[corner:], last[: corner + 1], whole[at - 1 :]])
        keep = part != part[to]
        left, part, nearest, length = left[keep], part[keep], nearest[keep], length[keep]
    return whole


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
