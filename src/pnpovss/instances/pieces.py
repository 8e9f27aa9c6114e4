"""Connected pieces of a region, and what becomes of those that are too small to be a thing."""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32

from pnpovss.results.regions import box_of

__all__ = ["Box", "around", "fill_nearest", "merge_small", "pieces", "side_weights"]

Box = tuple[slice, slice]  # rows and columns
Parts = Int32[np.ndarray, "h w"]  # 0: outside of the region; 1, 2, ...: its parts


def around(mask: Bool[np.ndarray, "h w"]) -> Box:
    """The smallest box around a mask that has a pixel."""
    left, top, width, height = box_of(mask)
    return slice(top, top + height), slice(left, left + width)


def pieces(region: Bool[np.ndarray, "h w"]) -> Parts:
    """The connected pieces of a region, counted from 1; pixels that touch at a corner are connected."""
    return cv2.connectedComponents(region.astype(np.uint8), connectivity=8)[1]


def merge_small(parts: Parts, least: float, *, join: bool) -> Parts:
    """Parts of fewer than `least` pixels go to the nearest larger one, or to none; the largest of all always stays.

    Args:
        parts: of one region.
        least: [px].
        join: whether they go to the nearest part, as a whole; otherwise they are dropped, and their pixels become 0.
    """
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    small = (areas > 0) & (areas < least)
    small[areas.argmax()] = False
    if not small.any():
        return parts
    large = np.where(small[parts], 0, parts).astype(np.int32)
    if not join:
        return large
    distance, nearest = _nearest(large)
    target = np.arange(len(areas), dtype=np.int32)
    places = np.flatnonzero(small[parts])
    order = np.lexsort((distance.ravel()[places], parts.ravel()[places]))
    numbers, first = np.unique(parts.ravel()[places[order]], return_index=True)
    target[numbers] = nearest.ravel()[places[order[first]]]
    return target[parts]


def fill_nearest(parts: Parts, region: Bool[np.ndarray, "h w"]) -> Parts:
    """Every pixel of the region that has no part yet goes to the nearest part; there is at least one."""
    missing = region & (parts == 0)
    if not missing.any():
        return parts
    return np.where(missing, _nearest(parts)[1], parts)


def _nearest(parts: Parts) -> tuple[np.ndarray, Parts]:
    """Distance of each pixel to the nearest part [px], and that part's number."""
    distance, sources = cv2.distanceTransformWithLabels(
        (parts == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    numbers = np.zeros(int(sources.max()) + 1, np.int32)
    inside = parts > 0
    numbers[sources[inside]] = parts[inside]
    return distance, numbers[sources]


def side_weights(extent: int, wanted: int, interpolation: int) -> Float32[np.ndarray, "wanted extent"]:
    """What each pixel along one side is to each of the resized side: rows @ picture @ columns.T resizes a picture.

    A part of a picture, or of what it becomes, then takes a part of the work.

    Args:
        extent: of the side [px].
        wanted: what it becomes [px].
        interpolation: of OpenCV, such as cv2.INTER_AREA.
    """
    if interpolation == cv2.INTER_AREA and wanted <= extent:
        # Shares of overlap, as OpenCV has them, without a matrix as large as the square of a photo's side.
        edges, starts = np.arange(wanted + 1) * (extent / wanted), np.arange(extent)
        overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
        return (overlap.clip(0) * (wanted / extent)).astype(np.float32)
    pixels = np.eye(extent, dtype=np.float32)
    return cv2.resize(pixels, (extent, wanted), interpolation=interpolation).reshape(wanted, extent)
