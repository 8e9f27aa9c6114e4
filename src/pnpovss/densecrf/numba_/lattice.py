"""The permutohedral lattice of one image and one pairwise term, on the CPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Shaped

from pnpovss.densecrf.keys import key_layout
from pnpovss.densecrf.numba_ import lattice_kernels
from pnpovss.densecrf.numba_.filter_kernels import Kernels, kernels_for
from pnpovss.densecrf.numba_.workers import Workers

__all__ = ["Lattice", "bands_for", "build_lattice", "feature_range", "splat_and_blur"]


@dataclass(frozen=True, eq=False)
class Lattice:
    """A Gaussian filter, factored as slice * blur * splat, normalised symmetrically.

    Attributes:
        points: int32 (pixel, corner), the lattice points around each pixel; corner = dimensions + 1.
        weights: float32 (pixel, corner), weight of each, in splatting as in slicing.
        before, after: int32 (axis, point), neighbours along each axis; the number of points where there is none.
        gain: factor of the filtered values.
    """

    points: Int32[np.ndarray, "pixel corner"]
    weights: Float32[np.ndarray, "pixel corner"]
    before: Int32[np.ndarray, "corner point"]
    after: Int32[np.ndarray, "corner point"]
    gain: float

    @property
    def corners(self) -> int:
        """Lattice points around a pixel, and axes of the blur: dimensions + 1."""
        return self.points.shape[1]

    @property
    def size(self) -> int:
        """Number of lattice points."""
        return self.before.shape[1]

    def new_pairs(self, blocks: int, lanes: int) -> Float32[np.ndarray, "block half point_lane"]:
        """Values of all lattice points, twice (one half is blurred into the other), and a last row that stays 0."""
        return np.zeros((blocks, 2, (self.size + 1) * lanes), dtype=np.float32)

    def new_parts(self, lanes: int) -> Float32[np.ndarray, "band point_lane"]:
        """What each band splats by itself, all 0, as every filtering leaves it; nothing where there is one band.

        Made once for many filterings: fresh zeros cost the system as much time as the splatting itself.
        """
        bands = self.bands if self.bands > 1 else 0
        return np.zeros((bands, (self.size + 1) * lanes), dtype=np.float32)

    @property
    def bands(self) -> int:
        """Parts of the image that are splatted apart and then summed.

        One for a small image, where one thread filters one register of labels for one term: handing out smaller pieces
        would take longer than they do. A matter of the image's size alone, not of the number of threads, so that sums
        do not depend on it.
        """
        return bands_for(len(self.points))


def bands_for(pixels: int) -> int:
    """How many parts an image is splatted in; see `Lattice.bands`."""
    return 1 if pixels < 1 << 19 else 4


def build_lattice(
    image: Shaped[np.ndarray, "h w channel"],
    widths: Float32[np.ndarray, " dim"],
    gain: float,
    workers: Workers,
) -> Lattice:
    """The lattice of x / widths[0], y / widths[1], channel / widths[2:] over the pixels of `image`.

    Args:
        image: (h, w, channel), uint8 or float32, C-contiguous; no channel at all for a spatial term.
        widths: float32 (2 + channel,), standard deviations.
        gain: factor of the filtered values (the Potts weight).
        workers: threads.

    Raises:
        InvalidInputError: the image spans too many standard deviations.
    """
    height, width, _ = image.shape
    dims, count = len(widths), height * width
    layout = key_layout(*feature_range(image, widths))
    points, weights = np.empty((count, dims + 1), dtype=np.int32), np.empty((count, dims + 1), dtype=np.float32)
    bounds = workers.even(height)
    geometry = (widths, layout.scales, layout.low, layout.strides)
    embed = lattice_kernels.embed(dims)
    found = workers.run(embed, bounds, image, *geometry, points.reshape(-1), weights)
    keys, size, table = found[0]
    for y0, y1, part in zip(bounds[1:-1], bounds[2:], found[1:], strict=True):
        numbers, keys, size, table = lattice_kernels.merge_points(keys, size, table, part[0][: part[1]])
        pixels = [width * (y0 + (y1 - y0) * t // workers.threads) for t in range(workers.threads + 1)]
        workers.run(lattice_kernels.renumber, pixels, points, numbers)
    del found
    before, after = (np.full((dims + 1, size), size, dtype=np.int32) for _ in range(2))
    workers.run(lattice_kernels.link_neighbours, workers.even(size), keys, table, layout.steps, before, after)
    del keys, table
    # Adams et al.'s constant for what splatting, blurring and slicing add up to.
    alpha = 1.0 / (1.0 + 2.0**-dims)
    norm = _inverse_root_of_sums(Lattice(points, weights, before, after, alpha), workers)
    workers.run(lattice_kernels.normalise, workers.even(count), weights, norm)
    return Lattice(points, weights, before, after, alpha * gain)


def feature_range(
    image: Shaped[np.ndarray, "h w channel"], widths: Float32[np.ndarray, " dim"]
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the features (x, y, channels) in standard deviations: smallest and largest, each (dim,)."""
    height, width, _ = image.shape
    lowest, highest = np.zeros(len(widths)), np.zeros(len(widths))
    highest[:2] = width - 1, height - 1
    if image.dtype == np.uint8:
        highest[2:] = 255
    else:
        lowest[2:], highest[2:] = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    return lowest / widths, highest / widths


def _inverse_root_of_sums(lattice: Lattice, workers: Workers) -> Float32[np.ndarray, " pixel"]:
    """1 / sqrt(K 1): scaling a filter K with it on both sides is symmetric normalisation."""
    kernels = kernels_for(1)
    count = len(lattice.points)
    pairs = lattice.new_pairs(1, 1)
    splat_and_blur([lattice], kernels, np.ones((1, count), dtype=np.float32), [pairs], [lattice.new_parts(1)], workers)
    sums = np.zeros(count, dtype=np.float32)
    tables = (pairs[0, 0], lattice.points, lattice.weights, np.float32(lattice.gain))
    workers.run(kernels.slice(lattice.corners), workers.even(count), sums, sums, *tables)
    return np.float32(1.0) / np.sqrt(sums + np.float32(1e-20))


def splat_and_blur(
    lattices: Sequence[Lattice],
    kernels: Kernels,
    values: Float32[np.ndarray, "block pixel_lane"],
    pairs: Sequence[Float32[np.ndarray, "block half _"]],
    parts: Sequence[Float32[np.ndarray, "band _"]],
    workers: Workers,
) -> None:
    """Splat all labels to all lattices and blur them; the results are in the first halves of `pairs`.

    Args:
        lattices: all of one image.
        kernels: for this many lanes.
        values: float32 (block, pixel * lane).
        pairs: of each lattice, from `new_pairs`.
        parts: of each lattice, from `new_parts`; all 0 before and after.
        workers: threads.
    """
    calls = []
    largest_first = sorted(zip(lattices, pairs, parts, strict=True), key=lambda each: -each[0].corners)
    for lattice, pair, part in largest_first:
        tables = (lattice.points, lattice.weights, lattice.before, lattice.after)
        for block, halves in enumerate(pair):
            if lattice.bands == 1:
                calls.append((kernels.filter(lattice.corners), (values[block], *tables, halves.reshape(-1))))
            else:
                _filter_in_bands(lattice, kernels, values[block], halves, part, workers)
    workers.run_all(calls)


def _filter_in_bands(
    lattice: Lattice, kernels: Kernels, values: np.ndarray, halves: np.ndarray, parts: np.ndarray, workers: Workers
) -> None:
    """What `kernels.filter` does, with several threads on one register of labels."""
    axes, count, bands = lattice.corners, len(lattice.points), lattice.bands
    cuts = [count * t // bands for t in range(bands + 1)]
    workers.run(kernels.splat(axes), cuts, values, lattice.points, lattice.weights, own=list(parts))
    bounds = workers.even(lattice.size)
    source = axes % 2
    workers.run(kernels.merge, bounds, halves[source], parts)
    for axis in range(axes):
        tables = (lattice.before[axis], lattice.after[axis])
        workers.run(kernels.blur, bounds, halves[1 - source], halves[source], *tables)
        source = 1 - source
