"""Compiled pieces of filtering and of a mean-field step, for a number of labels that one SIMD register holds."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pnpovss.refine.crf.jit import jit
from pnpovss.refine.crf.lanes import add_scaled, blur3, exp, load, maximum, scale, store, subtract, total, zero

__all__ = ["LANES", "PADDING", "Kernels", "kernels_for", "lanes_for", "rows_to_maps"]

LANES = (4, 8, 16)
# Log-probability of the labels that fill up the last register: exp of it is 0.
PADDING = np.float32(-1e30)


@dataclass(frozen=True)
class Kernels:
    """Functions of flat float32 arrays; the last two arguments are always the rows to do.

    Attributes:
        lanes: labels per register.
        splat: spreads pixels' values to lattice points.
        blur: one axis of the blur.
        slice: collects lattice points' values for pixels, added to log-probabilities.
        softmax: log-probabilities to probabilities.
    """

    lanes: int
    splat: Any
    blur: Any
    slice: Any
    softmax: Any


def lanes_for(labels: int) -> int:
    """The register that wastes least on so many labels."""
    return min(LANES, key=lambda lanes: (-(-labels // lanes)) * (lanes + 4))


@cache
def kernels_for(lanes: int) -> Kernels:
    """The kernels for registers of `lanes` labels, compiled when first called."""

    def splat(lattice, values, width, block, starts, pixels, weights, first, last):
        """lattice (point, lanes) from `values` (pixel, width), labels block * lanes and on."""
        for v in range(first, last):
            sum_ = zero(lanes)
            for e in range(starts[v], starts[v + 1]):
                sum_ = add_scaled(sum_, weights[e], load(values, pixels[e] * width + block * lanes, lanes))
            store(lattice, v * lanes, sum_)

    def blur(blurred, lattice, before, after, first, last):
        """One axis: blurred (point, lanes) from lattice; the last row is 0 and stands for points that do not exist."""
        for v in range(first, last):
            left = load(lattice, np.int64(before[v]) * lanes, lanes)
            right = load(lattice, np.int64(after[v]) * lanes, lanes)
            store(blurred, v * lanes, blur3(load(lattice, v * lanes, lanes), left, right))

    def slice_(rows, start, width, lattice, block_size, points, weights, first, last):
        """rows (pixel, width) = start + slice of lattice (block, point, lanes); weights (pixel, corner)."""
        corners = points.shape[1]
        for i in range(first, last):
            for block in range(width // lanes):
                at = i * width + block * lanes
                sum_ = load(start, at, lanes)
                for r in range(corners):
                    sum_ = add_scaled(
                        sum_, weights[i, r], load(lattice, block * block_size + np.int64(points[i, r]) * lanes, lanes)
                    )
                store(rows, at, sum_)

    def softmax(rows, width, first, last):
        """In place, over each row of (pixel, width)."""
        for i in range(first, last):
            largest = np.float32(-np.inf)
            for at in range(i * width, (i + 1) * width, lanes):
                largest = max(largest, maximum(load(rows, at, lanes)))
            sum_ = np.float32(0.0)
            for at in range(i * width, (i + 1) * width, lanes):
                powers = exp(subtract(load(rows, at, lanes), largest))
                sum_ += total(powers)
                store(rows, at, powers)
            inverse = np.float32(1.0) / sum_
            for at in range(i * width, (i + 1) * width, lanes):
                store(rows, at, scale(load(rows, at, lanes), inverse))

    variant = f"{lanes}"
    return Kernels(lanes, jit(splat, variant), jit(blur, variant), jit(slice_, variant), jit(softmax, variant))


def rows_to_maps(rows, maps, labels, first, last):
    """Pixels `first` to `last` of rows (pixel, width) to maps (label, pixel), and the index of the largest."""
    count = maps.shape[0]
    for tile in range(first, last, 64):
        end = min(tile + 64, last)
        for c in range(count):
            for i in range(tile, end):
                maps[c, i] = rows[i, c]
        for i in range(tile, end):
            best = 0
            for c in range(1, count):
                if rows[i, c] > rows[i, best]:
                    best = c
            labels[i] = best


rows_to_maps = jit(rows_to_maps)
