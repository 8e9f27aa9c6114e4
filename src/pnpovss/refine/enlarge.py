"""Patch maps at the photo's size, as two small matrix products.

A bilinear enlargement is linear in rows and in columns, and so is a Gaussian blur: the blurred enlargement of a map X
is (G_h U_h) X (G_w U_w)^T, with U what enlarges one axis and G what blurs it. That holds for the background as well,
though it is no bilinear enlargement: whether a pixel's score is 0 depends only on which patches it lies between.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Size", "enlarge", "enlarge_background"]


Size = tuple[int, int]  # (height, width) [px]


def enlarge(
    maps: Float[Tensor, "name gh gw"], size: Size, sigma: float, out: Float[Tensor, "name oh ow"]
) -> Float[Tensor, "name oh ow"]:
    """Bilinear, corners aligned, then blurred: a Gaussian, cut off at 4 sigma, the image mirrored at its edges.

    Args:
        maps: float32.
        size: (height, width) to enlarge to [px].
        sigma: standard deviation [px]; 0 for no blur.
        out: float32, written to and returned; where it is smaller than `size`, the means of its pixels' areas.
    """
    axes = zip(maps.shape[-2:], size, out.shape[-2:], strict=True)
    rows, columns = (_means(_blurred(_bilinear(grid, extent), sigma), count) for grid, extent, count in axes)
    return _between(rows, maps, columns, out)


def enlarge_background(
    maps: Float[Tensor, "name gh gw"], size: Size, sigma: float, out: Float[Tensor, "oh ow"]
) -> Float[Tensor, "oh ow"]:
    """1 where the enlargement of every map is 0, else 0, then blurred; see `enlarge`.

    Args:
        maps: float32, not negative.
        size: (height, width) to enlarge to [px].
        sigma: standard deviation [px]; 0 for no blur.
        out: float32, written to and returned.
    """
    found = maps.ne(0).any(dim=0)
    empty = (~_lines_and_gaps(_lines_and_gaps(found).mT).mT).to(maps.dtype)
    axes = zip(maps.shape[-2:], size, out.shape[-2:], strict=True)
    rows, columns = (_means(_blurred(_place(_bilinear(grid, extent)), sigma), count) for grid, extent, count in axes)
    return _between(rows, empty, columns, out)


def _means(matrix: Float[Tensor, "extent grid"], count: int) -> Float[Tensor, "count grid"]:
    """Means of neighbouring rows, as the area of each of `count` pixels covers them."""
    return matrix if count == len(matrix) else F.adaptive_avg_pool1d(matrix.T, count).T


def _between(rows: Tensor, maps: Tensor, columns: Tensor, out: Tensor) -> Tensor:
    rows, columns = rows.to(maps), columns.to(maps)
    return torch.matmul(rows @ maps, columns.mT, out=out)


def _bilinear(grid: int, extent: int) -> Float[Tensor, "extent grid"]:
    """What enlarges one axis; at most two weights per row are not 0. Just the weights that `interpolate` takes."""
    each = torch.eye(grid, dtype=torch.float32, device="cpu")
    return F.interpolate(each[None, None], (extent, grid), mode="bilinear", align_corners=True)[0, 0]


def _place(bilinear: Float[Tensor, "extent grid"]) -> Float[Tensor, "extent place"]:
    """One-hot: on which line of patch centres a row of pixels lies (even places), or between which two (odd ones)."""
    taken = bilinear > 0
    place = 2 * taken.int().argmax(dim=1) + (taken.sum(dim=1) == 2)
    return F.one_hot(place, 2 * bilinear.shape[1] - 1).float()


def _lines_and_gaps(found: Tensor) -> Tensor:
    """Rows of a grid (bool) with, between each two, where either of them is true."""
    both = found.new_empty(2 * len(found) - 1, found.shape[1])
    both[::2], both[1::2] = found, found[:-1] | found[1:]
    return both


def _blurred(matrix: Float[Tensor, "extent grid"], sigma: float) -> Float[Tensor, "extent grid"]:
    """Every column blurred, by a Fourier transform in float64."""
    reach, extent = int(4 * sigma + 0.5), len(matrix)
    if reach == 0:
        return matrix
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    place = np.arange(-reach, extent + reach) % (2 * extent)  # a b c | c b a | a b c ...
    mirrored = matrix.numpy().astype(np.float64)[np.minimum(place, 2 * extent - 1 - place)]
    length = 1 << (len(mirrored) + 2 * reach).bit_length()
    spectrum = np.fft.rfft(mirrored, length, axis=0) * np.fft.rfft(taps / taps.sum(), length)[:, None]
    blurred = np.fft.irfft(spectrum, length, axis=0)[2 * reach : 2 * reach + extent]
    return torch.from_numpy(blurred.clip(0).astype(np.float32))  # Rounding may fall below 0.
