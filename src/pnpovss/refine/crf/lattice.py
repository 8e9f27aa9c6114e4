"""The permutohedral lattice of one image and one pairwise term, on the CPU."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from pnpovss.refine.crf import build
from pnpovss.refine.crf.jit import Workers
from pnpovss.refine.crf.kernels import Kernels, kernels_for
from pnpovss.refine.crf.packing import make_packing

__all__ = ["Lattice", "blur_and_splat", "build_lattice"]


@dataclass(frozen=True, eq=False)
class Lattice:
    """A Gaussian filter, factored as slice * blur * splat, normalised symmetrically.

    Attributes:
        points: int32 (pixel, corner), the lattice points around each pixel; corner = dimensions + 1.
        slice_weights: float32 (pixel, corner), weight of each in the filtered pixel.
        starts: int64 (point + 1,), where each point's entries begin in the next two.
        pixels: int32 (entry,), the pixels a point collects, in order.
        splat_weights: float32 (entry,), the weight of each.
        before, after: int32 (axis, point), neighbours along each axis; the number of points where there is none.
    """

    points: Int32[np.ndarray, "pixel corner"]
    slice_weights: Float32[np.ndarray, "pixel corner"]
    starts: Int64[np.ndarray, " point1"]
    pixels: Int32[np.ndarray, " entry"]
    splat_weights: Float32[np.ndarray, " entry"]
    before: Int32[np.ndarray, "axis point"]
    after: Int32[np.ndarray, "axis point"]

    @property
    def size(self) -> int:
        """Number of lattice points."""
        return len(self.starts) - 1


def build_lattice(
    image: Shaped[np.ndarray, "h w channel"], widths: Float32[np.ndarray, " dim"], gain: float, workers: Workers
) -> Lattice:
    """The lattice of x / widths[0], y / widths[1], channel / widths[2:] over the pixels of `image`.

    Args:
        image: (h, w, channel), uint8 or float32, C-contiguous; no channel at all for a spatial term.
        widths: float32 (2 + channel,), standard deviations.
        gain: factor of the filtered values (the Potts weight).
        workers: threads.
    """
    height, width, _ = image.shape
    dims, count = len(widths), height * width
    packing = make_packing(*_feature_range(image, widths))
    points = np.empty((count, dims + 1), dtype=np.int32)
    weights = np.empty((count, dims + 1), dtype=np.float32)
    bounds = workers.even(height)
    found = workers.run(
        build.embed(dims), bounds, image, widths, packing.scales, packing.low, packing.strides, points, weights
    )
    numbers, keys, table, shift = build.merge_points(np.concatenate(found))
    seen = 0
    for y0, y1, part in zip(bounds[:-1], bounds[1:], found, strict=True):
        if seen:  # The first part's numbers are the final ones.
            local = numbers[seen : seen + len(part)]
            workers.run(build.renumber, [width * y for y in _cuts(y0, y1, workers.threads)], points, local)
        seen += len(part)
    before = np.full((dims + 1, len(keys)), len(keys), dtype=np.int32)
    after = np.full((dims + 1, len(keys)), len(keys), dtype=np.int32)
    workers.run(build.link_neighbours, workers.even(len(keys)), keys, table, shift, packing.steps, before, after)
    del table, keys
    starts, pixels, splat_weights = _sort_by_point(points, weights, before.shape[1], workers)
    raw = Lattice(points, weights, starts, pixels, splat_weights, before, after)
    _normalise(raw, gain, workers)
    return raw


def _cuts(first: int, last: int, pieces: int) -> list[int]:
    return [first + (last - first) * t // pieces for t in range(pieces + 1)]


def _feature_range(image: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest feature in each dimension."""
    height, width, channels = image.shape
    lowest, highest = np.zeros(len(widths)), np.zeros(len(widths))
    highest[:2] = width - 1, height - 1
    for c in range(channels):
        lowest[2 + c], highest[2 + c] = image[..., c].min(), image[..., c].max()
    return lowest / widths, highest / widths


def _sort_by_point(
    points: np.ndarray, weights: np.ndarray, size: int, workers: Workers
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The transpose of (points, weights): starts, pixels, weights of each point, pixels in order."""
    bounds = workers.even(len(points))
    counts = np.zeros((len(bounds) - 1, size + 1), dtype=np.int64)
    workers.run(build.count_pixels, bounds, points, own=counts)
    starts = np.cumsum(counts.sum(axis=0))
    place = np.empty_like(counts)
    place[0, :size] = starts[:-1]
    for t in range(1, len(counts)):
        place[t, :size] = place[t - 1, :size] + counts[t - 1, 1:]
    pixels = np.empty(points.size, dtype=np.int32)
    sorted_weights = np.empty(points.size, dtype=np.float32)
    workers.run(build.fill_splat, bounds, points, weights, pixels, sorted_weights, own=place)
    return starts, pixels, sorted_weights


def _normalise(lattice: Lattice, gain: float, workers: Workers) -> None:
    """Scale the weights in place so that the filter is D^-1/2 K D^-1/2, D being the row sums of K, times `gain`."""
    kernels = kernels_for(1)
    count = len(lattice.points)
    ones = np.ones(count, dtype=np.float32)
    filtered, scratch = np.zeros(lattice.size + 1, dtype=np.float32), np.zeros(lattice.size + 1, dtype=np.float32)
    blur_and_splat(lattice, kernels, ones, 1, 0, filtered, scratch, workers)
    norm = np.zeros(count, dtype=np.float32)
    workers.run(
        kernels.slice,
        workers.even(count),
        norm,
        norm,
        1,
        filtered,
        len(filtered),
        lattice.points,
        lattice.slice_weights,
    )
    # Adams et al.'s constant for what the blur adds up to.
    alpha = np.float32(1.0 / (1.0 + 2.0 ** (1 - lattice.points.shape[1])))
    norm *= alpha
    norm += np.float32(1e-20)
    np.sqrt(norm, out=norm)
    np.divide(np.float32(1.0), norm, out=norm)
    lattice.splat_weights[:] *= norm[lattice.pixels]
    norm *= alpha * np.float32(gain)
    lattice.slice_weights[:] *= norm[:, None]


def blur_and_splat(
    lattice: Lattice,
    kernels: Kernels,
    values: Float32[np.ndarray, " pixel_label"],
    width: int,
    block: int,
    filtered: Float32[np.ndarray, " point_lane"],
    scratch: Float32[np.ndarray, " point_lane"],
    workers: Workers,
) -> None:
    """Splat labels `block * lanes` and on of values (pixel, width) and blur them; the result is in `filtered`.

    Args:
        lattice: the lattice.
        kernels: for the number of labels in a block.
        values: flat float32 (pixel, width).
        width: labels of a pixel, a multiple of lanes.
        block: which lanes.
        filtered: flat float32 (point + 1, lanes) that receives the result; its last row stays 0.
        scratch: the same, overwritten.
        workers: threads.
    """
    axes = len(lattice.before)
    source, target = (filtered, scratch) if axes % 2 == 0 else (scratch, filtered)
    entries = (lattice.starts, lattice.pixels, lattice.splat_weights)
    workers.run(kernels.splat, workers.balanced(lattice.starts), source, values, width, block, *entries)
    bounds = workers.even(lattice.size)
    for axis in range(axes):
        workers.run(kernels.blur, bounds, target, source, lattice.before[axis], lattice.after[axis])
        source, target = target, source
