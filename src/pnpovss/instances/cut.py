"""Cut a piece that holds several things: one seed per peak of the heat, and borders along valleys and colour edges."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from pnpovss.config import InstanceSettings
from pnpovss.errors import MissingExtraError
from pnpovss.instances.pieces import Box, around, fill_nearest, side_weights

__all__ = ["SIDE", "Cutter", "peaks", "require_scikit_image"]

SIDE = 160  # longer side at which pieces are cut [px]; the patches of the heat are several pixels wide there
LEVELS = 250  # steps of heat from 0 to its maximum: heights are compared as whole numbers, exactly
STEEPEST = 8.0  # see `_beta`


def require_scikit_image() -> None:
    """Say what to install.

    Raises:
        MissingExtraError: scikit-image is not there.
    """
    try:
        import skimage.segmentation  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Cutting regions between peaks of the heat map", "instances") from error


def peaks(
    heat: Float[np.ndarray, "h w"], region: Bool[np.ndarray, "h w"], prominence: float, top: float
) -> Int32[np.ndarray, "h w"]:
    """The peaks of the heat in a region, counted from 1, each with what is less than `prominence` below; 0 elsewhere.

    On every way from one peak to another, inside the region, there is a pass at least so far below the lower of them.

    Args:
        heat: not negative.
        region: where peaks are looked for, with at least one pixel.
        prominence: in (0, 1], as a part of `top`.
        top: the highest heat, in this region or beyond it; above 0.
    """
    from skimage.morphology import local_maxima, reconstruction

    height = np.where(region, np.round(heat * (LEVELS / top)), -1.0)
    lowered = np.maximum(height - _depth(prominence), -1.0)
    # Lowered and flooded again up to the height, the map keeps a plateau where a peak was and loses lesser ones.
    flooded = reconstruction(lowered, height, footprint=np.ones((3, 3)))
    plateaus = np.asarray(local_maxima(flooded), np.uint8)
    return cv2.connectedComponents(plateaus, connectivity=8)[1]


def _inside(box: Box, inner: Box) -> Box:
    """A box that is counted from the corner of another, counted from where that one is."""
    down, across = (slice(a.start + b.start, a.start + b.stop) for a, b in zip(box, inner, strict=True))
    return down, across


def _depth(prominence: float) -> int:
    """Steps of heat that a pass must lie below the lower of two peaks."""
    return max(1, round(prominence * LEVELS))


@dataclass(frozen=True, eq=False)
class Cutter:
    """Cuts the pieces of one photo's regions.

    Attributes:
        photo: RGB in [0, 255].
        settings: how.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    settings: InstanceSettings

    def cut(
        self, parts: Int32[np.ndarray, "bh bw"], box: Box, heat: Float[np.ndarray, "gh gw"], least: float
    ) -> Int32[np.ndarray, "bh bw"]:
        """The parts, each cut into one per peak; numbers are new, pixels outside of all parts stay 0.

        Args:
            parts: connected pieces of one name's region, in the box around it.
            box: where that is in the photo.
            heat: of that name, on the patch grid.
            least: smaller parts stay whole [px].
        """
        small = self._small(parts, box)
        top = float(heat.max(initial=0))
        if not small.any() or top <= 0:
            return parts
        warm = cv2.resize(heat.astype(np.float32), small.shape[::-1], interpolation=cv2.INTER_LINEAR)
        out, count = parts.copy(), int(parts.max())
        shown, areas = (np.bincount(each.ravel(), minlength=count + 1)[1:] for each in (small, parts))
        for number in np.flatnonzero((shown > 0) & (areas >= least)) + 1:
            own = small == number
            near = around(own)
            if np.ptp(warm[own]) * (LEVELS / top) < _depth(self.settings.prominence) - 1:
                continue  # too flat for two peaks with so deep a pass between them, however heights are rounded
            seeds = peaks(warm[near], own[near], self.settings.prominence, top)
            if seeds.max() < 2:
                continue
            shares = self._grow(seeds, own[near], warm[near] / top, near)
            whole = parts == number
            tight = around(whole)
            piece = whole[tight]
            enlarged = fill_nearest(np.where(piece, self._enlarge(shares, near, _inside(box, tight)), 0), piece)
            np.add(enlarged, count, out=out[tight], where=piece)
            count += int(seeds.max())
        return out

    def _small(self, parts: Int32[np.ndarray, "bh bw"], box: Box) -> Int32[np.ndarray, "sh sw"]:
        height, width = self._size
        whole = np.zeros(self.photo.shape[:2], np.int32)
        whole[box] = parts
        return cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST)

    @property
    def _size(self) -> tuple[int, int]:
        """(height, width) at which pieces are cut [px]."""
        scale = min(1.0, SIDE / max(self.photo.shape[:2]))
        return max(1, round(self.photo.shape[0] * scale)), max(1, round(self.photo.shape[1] * scale))

    @cached_property
    def _weights(self) -> tuple[Float32[np.ndarray, "h sh"], Float32[np.ndarray, "w sw"]]:
        """From the size of cuts to that of the photo."""
        (height, width), (down, across) = self.photo.shape[:2], self._size
        return side_weights(down, height, cv2.INTER_LINEAR), side_weights(across, width, cv2.INTER_LINEAR)

    def _enlarge(self, shares: Int32[np.ndarray, "nh nw"], near: Box, box: Box) -> Int32[np.ndarray, "bh bw"]:
        """Parts as they are in a box of the size of cuts, with smooth borders in a box of the photo; 0 beyond them."""
        down, across = (weights[full, short] for weights, full, short in zip(self._weights, box, near, strict=True))
        best = np.full((len(down), len(across)), 1e-3, np.float32)
        out = np.zeros(best.shape, np.int32)
        for number in range(1, int(shares.max()) + 1):
            share = down @ (shares == number).astype(np.float32) @ across.T
            np.copyto(out, number, where=share > best)
            np.maximum(best, share, out=best)
        return out

    @cached_property
    def _colours(self) -> Float32[np.ndarray, "sh sw 3"]:
        """The photo at the size of cuts, Lab, each channel in about [0, 1]."""
        height, width = self._size
        small = cv2.resize(self.photo, (width, height), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32) / 255

    @cached_property
    def _edges(self) -> Float32[np.ndarray, "sh sw"]:
        """How strong the colour edge is at each pixel, in [0, 1]."""
        across, down = (cv2.Sobel(self._colours, cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
        strength = np.sqrt((across**2 + down**2).sum(2))
        return np.clip(strength / max(float(np.percentile(strength, 99)), 1e-6), 0, 1)

    def _grow(
        self,
        seeds: Int32[np.ndarray, "bh bw"],
        piece: Bool[np.ndarray, "bh bw"],
        warm: Float[np.ndarray, "bh bw"],
        box: Box,
    ) -> Int32[np.ndarray, "bh bw"]:
        """Which seed each pixel of a piece goes to, in the box around it."""
        from skimage.segmentation import watershed

        edges = self.settings.edges
        if self.settings.method == "watershed":
            return watershed((1 - edges) * (1 - warm) + edges * self._edges[box], seeds, mask=piece).astype(np.int32)
        return _walk(np.dstack([edges * self._colours[box], max(1 - edges, 1e-3) * warm]), seeds, piece)


def _walk(
    data: Float[np.ndarray, "bh bw channel"], seeds: Int32[np.ndarray, "bh bw"], piece: Bool[np.ndarray, "bh bw"]
) -> Int32[np.ndarray, "bh bw"]:
    """Which seed a random walk that shuns contrast reaches first; it goes from side to side only, not over corners.

    Returns:
        0 where no seed can be reached.
    """
    from skimage.segmentation import random_walker

    out, (count, islands) = seeds.copy(), cv2.connectedComponents(piece.astype(np.uint8), connectivity=4)
    for number in range(1, count):
        island = islands == number
        there = np.unique(seeds[island & (seeds > 0)])
        if len(there) == 1:
            out[island] = there[0]
        elif len(there) > 1 and (seeds[island] == 0).any():
            renamed = np.where(island, np.searchsorted(there, seeds) + (seeds > 0), -1)
            walked = random_walker(data, renamed, beta=_beta(data), mode="bf", channel_axis=-1)
            out[island] = np.array([0, *there])[np.maximum(walked[island], 0)]
    return out


def _beta(data: Float[np.ndarray, "bh bw channel"]) -> float:
    """The setting of the walk with which its strongest step is e^STEEPEST times as hard as one between equal pixels.

    A fixed one makes steps in strong contrast impossible, to the last digit, and the equations cannot be solved.
    """
    steepest = max(float(np.square(np.diff(data, axis=axis)).sum(-1).max(initial=1e-12)) for axis in (0, 1))
    return STEEPEST * 10 * float(data.std()) * float(np.sqrt(data.shape[-1])) / steepest
