"""Compiled pieces of filtering and of a mean-field step, for a number of labels that one SIMD register holds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pnpovss.densecrf.engine import FORBIDDEN
from pnpovss.densecrf.numba_.compiling import jit
from pnpovss.densecrf.numba_.registers import (
    add,
    add_scaled,
    blur3,
    divide,
    exp,
    group_maximum,
    group_total,
    larger,
    load,
    multiply,
    store,
    subtract,
    zero,
)

__all__ = ["LANES", "PADDING", "WIDE", "Kernels", "blocks_to_maps", "kernels_for", "lanes_for"]

LANES = (4, 8, 16)
# Labels that softmax takes at once, of as many pixels as that makes; pixels are padded to a multiple of WIDE / 4.
WIDE = 16
# Rows that are sliced before they are normalised.
_TILE = 16
# Log-probability of the labels that fill up the last register: exp of it is 0.
PADDING = np.float32(FORBIDDEN)


@dataclass(frozen=True)
class Kernels:
    """Functions of float32 arrays; the last two arguments are the rows to do, except for `filter`, which does all.

    Attributes:
        lanes: labels per register.
        filter: given the number of corners: splat and blur in one, for one thread.
        splat: given the number of corners: adds pixels' values to lattice points.
        merge: sums what several threads have splatted.
        blur: one axis of the blur.
        slice: given the number of corners: collects lattice points' values for pixels.
        update: given the corners of two lattices, 0 for none: slice of both, and softmax.
    """

    lanes: int
    filter: Callable[[int], Any]
    splat: Callable[[int], Any]
    merge: Any
    blur: Any
    slice: Callable[[int], Any]
    update: Callable[[int, int], Any]


def lanes_for(labels: int) -> int:
    """The register that wastes least on so many labels."""
    return min(LANES, key=lambda lanes: (-(-labels // lanes)) * (lanes + 4))


@cache
def kernels_for(lanes: int) -> Kernels:
    """The kernels for registers of `lanes` labels, compiled when first called."""

    # Given the number of corners at compile time, the loops over them are unrolled: 3 times as fast.
    @cache
    def filter_kernel(corners):
        def filter_(values, points, weights, before, after, pair):
            """Splat values (pixel, lane) and blur them, all in one, into the first of the two halves of `pair`.

            Each half is (point + 1, lane); their last rows are 0 and stand for points that do not exist.
            """
            half = pair.size // 2
            source = np.int64(0) if corners % 2 == 0 else half
            for at in range(source, source + half, lanes):
                store(pair, at, zero(lanes))
            for i in range(points.shape[0]):
                value = load(values, i * lanes, lanes)
                for r in range(corners):
                    at = source + np.int64(points[i, r]) * lanes
                    store(pair, at, add_scaled(load(pair, at, lanes), weights[i, r], value))
            for axis in range(corners):
                target = half - source
                for v in range(before.shape[1]):
                    left = load(pair, source + np.int64(before[axis, v]) * lanes, lanes)
                    right = load(pair, source + np.int64(after[axis, v]) * lanes, lanes)
                    store(pair, target + v * lanes, blur3(load(pair, source + v * lanes, lanes), left, right))
                source = target

        return jit(filter_, f"{lanes}_{corners}")

    @cache
    def splat_kernel(corners):
        def splat(values, points, weights, lattice, first, last):
            """Add pixels `first` to `last` of values (pixel, lane) to lattice (point, lane)."""
            for i in range(first, last):
                value = load(values, i * lanes, lanes)
                for r in range(corners):
                    at = np.int64(points[i, r]) * lanes
                    store(lattice, at, add_scaled(load(lattice, at, lanes), weights[i, r], value))

        return jit(splat, f"{lanes}_{corners}")

    def merge(lattice, parts, first, last):
        """Set lattice (point, lane) to the sum of parts (part, point * lane), which are left 0."""
        none = zero(lanes)
        for v in range(first * lanes, last * lanes, lanes):
            sum_ = load(parts[0], v, lanes)
            store(parts[0], v, none)
            for part in range(1, parts.shape[0]):
                sum_ = add(sum_, load(parts[part], v, lanes))
                store(parts[part], v, none)
            store(lattice, v, sum_)

    def blur(blurred, lattice, before, after, first, last):
        """One axis: blurred (point, lane) from lattice; the last row is 0 and stands for points that do not exist."""
        for v in range(first, last):
            left = load(lattice, np.int64(before[v]) * lanes, lanes)
            right = load(lattice, np.int64(after[v]) * lanes, lanes)
            store(blurred, v * lanes, blur3(load(lattice, v * lanes, lanes), left, right))

    @cache
    def update_kernel(corners, others):
        def update(
            values, start, stride, lattice, points, weights, gain, lattice2, points2, weights2, gain2, first, last
        ):
            """Set values (block, pixel * lane) to softmax(start + gain * slice of lattice + gain2 * slice of lattice2).

            Blocks are `stride` apart in values, rows are of WIDE values in each. Some rows are sliced and then
            normalised while they are in cache; at once, a register would wait for what was just stored in pieces.
            """
            blocks = values.size // stride
            size, size2 = lattice.size // blocks, lattice2.size // blocks
            for tile in range(first, last, _TILE):
                end = min(tile + _TILE, last)
                pixels = range(tile * WIDE // lanes, min(end * WIDE // lanes, points.shape[0]))
                for block in range(blocks):
                    for i in pixels:
                        sum_, sum2 = zero(lanes), zero(lanes)
                        for r in range(corners):
                            source = load(lattice, block * size + np.int64(points[i, r]) * lanes, lanes)
                            sum_ = add_scaled(sum_, weights[i, r], source)
                        for r in range(others):
                            source = load(lattice2, block * size2 + np.int64(points2[i, r]) * lanes, lanes)
                            sum2 = add_scaled(sum2, weights2[i, r], source)
                        at = block * stride + i * lanes
                        store(values, at, add_scaled(add_scaled(load(start, at, lanes), gain, sum_), gain2, sum2))
                for at in range(tile * WIDE, end * WIDE, WIDE):
                    top = load(values, at, WIDE)
                    for other in range(at + stride, values.size, stride):
                        top = larger(top, load(values, other, WIDE))
                    top = group_maximum(top, lanes)
                    whole = zero(WIDE)
                    for other in range(at, values.size, stride):
                        powers = exp(subtract(load(values, other, WIDE), top))
                        store(values, other, powers)
                        whole = add(whole, powers)
                    inverse = divide(load(_ONES, 0, WIDE), group_total(whole, lanes))
                    for other in range(at, values.size, stride):
                        store(values, other, multiply(load(values, other, WIDE), inverse))

        return jit(update, f"{lanes}_{corners}_{others}")

    @cache
    def slice_kernel(corners):
        def slice_(values, start, lattice, points, weights, gain, first, last):
            """Set values (pixel, lane) to start + gain * the weighted sum of lattice (point, lane) at its corners."""
            for i in range(first, last):
                sum_ = zero(lanes)
                for r in range(corners):
                    sum_ = add_scaled(sum_, weights[i, r], load(lattice, np.int64(points[i, r]) * lanes, lanes))
                store(values, i * lanes, add_scaled(load(start, i * lanes, lanes), gain, sum_))

        return jit(slice_, f"{lanes}_{corners}")

    variant = f"{lanes}"
    return Kernels(
        lanes, filter_kernel, splat_kernel, jit(merge, variant), jit(blur, variant), slice_kernel, update_kernel
    )


_ONES = np.ones(WIDE, dtype=np.float32)


def blocks_to_maps(blocks, maps, labels, first, last):
    """Pixels `first` to `last` of blocks (block, pixel, lane) to maps (label, pixel), and the index of the largest."""
    lanes = blocks.shape[2]
    for tile in range(first, last, 64):
        end = min(tile + 64, last)
        for c in range(maps.shape[0]):
            for i in range(tile, end):
                maps[c, i] = blocks[c // lanes, i, c % lanes]
        for i in range(tile, end):
            best = np.float32(-1.0)
            for c in range(maps.shape[0]):
                if maps[c, i] > best:
                    best = maps[c, i]
                    labels[i] = c


blocks_to_maps = jit(blocks_to_maps)
