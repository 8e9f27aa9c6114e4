"""Compiled pieces of making a lattice: locating pixels, numbering lattice points, their neighbours, their pixels."""

from functools import cache
from typing import Any

import numpy as np

from pnpovss.refine.crf.jit import jit

__all__ = ["embed", "fill_splat", "count_pixels", "merge_points", "renumber", "link_neighbours"]

# 2^64 divided by the golden ratio, as a signed integer: neighbouring keys land far apart (Knuth, 6.4).
_GOLDEN = np.int64(-7046029254386353131)
_EMPTY = np.int64(-1)


def _slot(table, keys, key, shift):
    """Where `key` is in the table or would go; open addressing with linear probing."""
    slot = np.int64((np.uint64(key * _GOLDEN)) >> shift)
    last = table.size - 1
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & last
    return slot


_slot = jit(_slot)


def _doubled(keys, count, table):
    """A table of twice the size with the first `count` keys, room for as many again, and the new shift."""
    larger = np.full(table.size * 2, -1, dtype=np.int32)
    shift = np.uint64(64)
    size = np.int64(1)
    while size < larger.size:
        size *= 2
        shift -= np.uint64(1)
    more = np.empty(larger.size // 2 + 1, dtype=np.int64)
    more[:count] = keys[:count]
    for i in range(count):
        larger[_slot(larger, more, more[i], shift)] = i
    return more, larger, shift


_doubled = jit(_doubled)


def _new_table():
    table = np.full(512, -1, dtype=np.int32)
    return np.empty(513, dtype=np.int64), table


_new_table = jit(_new_table)


@cache
def embed(dims: int) -> Any:
    """The kernel that locates pixels in the lattice of so many dimensions.

    It follows the arithmetic of the original implementation operation by operation, in float32, because pixels on
    the boundary of two simplices are common (coordinates and colours are integers) and have to fall on the same side.
    """

    def embed(image, widths, scales, low, strides, points, weights, first, last):
        """Rows `first` to `last` of `image` (h, w, channel).

        Writes the points' numbers (counted in this call alone) to points (pixel, dims + 1) and the barycentric
        weights to weights; returns the keys of the numbered points.
        """
        width = image.shape[1]
        corners = dims + 1
        down = np.float32(1.0) / np.float32(corners)
        up = np.float32(corners)
        elevated = np.empty(corners, dtype=np.float32)
        nearest = np.empty(corners, dtype=np.float32)
        apart = np.empty(corners, dtype=np.float32)
        rank = np.empty(corners, dtype=np.int64)
        ordered = np.empty(corners, dtype=np.float32)
        steps = np.empty(corners, dtype=np.int64)
        latest_key = np.full(corners, _EMPTY, dtype=np.int64)
        latest_point = np.zeros(corners, dtype=np.int32)
        scaled = np.empty(dims, dtype=np.float32)
        keys, table = _new_table()
        keys, table, shift = _doubled(keys, 0, table)
        count = 0
        for y in range(first, last):
            for x in range(width):
                scaled[0] = (np.float32(x) / widths[0]) * scales[0]
                scaled[1] = (np.float32(y) / widths[1]) * scales[1]
                for c in range(2, dims):
                    scaled[c] = (np.float32(image[y, x, c - 2]) / widths[c]) * scales[c]
                # Elevate: y = E p (Adams et al., page 5).
                rest = np.float32(0.0)
                for j in range(dims, 0, -1):
                    elevated[j] = rest - np.float32(j) * scaled[j - 1]
                    rest = rest + scaled[j - 1]
                elevated[0] = rest
                # The nearest point of remainder 0, in units of dims + 1.
                total = np.float32(0.0)
                for i in range(corners):
                    rounded = np.rint(down * elevated[i])
                    nearest[i] = rounded
                    apart[i] = elevated[i] - rounded * up
                    total += rounded
                # How many coordinates differ more from it; ties go to the lower index.
                for i in range(corners):
                    rank[i] = np.int64(total)
                for i in range(dims):
                    for j in range(i + 1, corners):
                        smaller = apart[i] < apart[j]
                        rank[i] += smaller
                        rank[j] += not smaller
                # Back onto the plane where coordinates sum to 0.
                key = np.int64(0)
                for i in range(corners):
                    quotient = np.int64(nearest[i])
                    offset = apart[i]
                    if rank[i] < 0:
                        rank[i] += corners
                        quotient += 1
                        offset = elevated[i] - (nearest[i] + np.float32(1.0)) * up
                    elif rank[i] >= corners:
                        rank[i] -= corners
                        quotient -= 1
                        offset = elevated[i] - (nearest[i] - np.float32(1.0)) * up
                    if i < dims:
                        key += (quotient - low[i]) * strides[i]
                    ordered[rank[i]] = offset * down
                    steps[rank[i]] = strides[i]
                # Corners of the simplex and barycentric weights (page 10).
                pixel = np.int64(y) * width + x
                for r in range(corners):
                    if r == 0:
                        weight = ordered[dims] + (np.float32(1.0) - ordered[0])
                    else:
                        weight = ordered[dims - r] - ordered[corners - r]
                        key += 1 - steps[corners - r]
                    if latest_key[r] != key:
                        latest_key[r] = key
                        slot = _slot(table, keys, key, shift)
                        if table[slot] < 0:
                            if 2 * (count + 1) > table.size:
                                keys, table, shift = _doubled(keys, count, table)
                                slot = _slot(table, keys, key, shift)
                            keys[count] = key
                            table[slot] = count
                            count += 1
                        latest_point[r] = table[slot]
                    points[pixel, r] = latest_point[r]
                    weights[pixel, r] = weight
        return keys[:count].copy()

    return jit(embed, f"{dims}")


def merge_points(keys):
    """Number the distinct `keys` by first appearance: (number of each, distinct keys, table, shift)."""
    found, table = _new_table()
    found, table, shift = _doubled(found, 0, table)
    numbers = np.empty(keys.size, dtype=np.int32)
    count = 0
    for i in range(keys.size):
        slot = _slot(table, found, keys[i], shift)
        if table[slot] < 0:
            if 2 * (count + 1) > table.size:
                found, table, shift = _doubled(found, count, table)
                slot = _slot(table, found, keys[i], shift)
            found[count] = keys[i]
            table[slot] = count
            count += 1
        numbers[i] = table[slot]
    return numbers, found[:count].copy(), table, shift


merge_points = jit(merge_points)


def renumber(points, numbers, first, last):
    """Replace each point of pixels `first` to `last` by its entry in `numbers`."""
    for i in range(first, last):
        for r in range(points.shape[1]):
            points[i, r] = numbers[points[i, r]]


renumber = jit(renumber)


def link_neighbours(keys, table, shift, steps, before, after, first, last):
    """Fill before[axis, point] and after[axis, point]; a point that does not exist stays as it was."""
    corners = steps.shape[0]
    for v in range(first, last):
        remainder = keys[v] % corners
        for axis in range(corners):
            neighbour = table[_slot(table, keys, keys[v] + steps[remainder, axis], shift)]
            if neighbour >= 0:
                before[axis, v] = neighbour
                after[axis, neighbour] = v


link_neighbours = jit(link_neighbours)


def count_pixels(points, counts, first, last):
    """Add to counts[point + 1] the pixels among `first` to `last` that touch the point."""
    for i in range(first, last):
        for r in range(points.shape[1]):
            counts[points[i, r] + 1] += 1


count_pixels = jit(count_pixels)


def fill_splat(points, weights, pixels, splat_weights, place, first, last):
    """Sort pixels by point: `place[point]` is where the next pixel of a point goes."""
    for i in range(first, last):
        for r in range(points.shape[1]):
            at = place[points[i, r]]
            pixels[at] = i
            splat_weights[at] = weights[i, r]
            place[points[i, r]] = at + 1


fill_splat = jit(fill_splat)
