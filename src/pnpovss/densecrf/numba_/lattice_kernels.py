"""Compiled pieces of making a lattice: locating pixels, numbering lattice points, their neighbours, their pixels."""

from functools import cache
from typing import Any

import numpy as np

from pnpovss.densecrf.numba_.compiling import jit
from pnpovss.densecrf.numba_.registers import add, less, load, nearest_integer, scale, store, subtract, zero

__all__ = ["embed", "link_neighbours", "merge_points", "new_table", "normalise", "renumber"]

# 2^64 divided by the golden ratio, as a signed integer: neighbouring keys land far apart (Knuth, 6.4).
_GOLDEN = np.int64(-7046029254386353131)
_WIDE = 16


def _shift_of(table):
    """How far to shift a hash right to leave an index of `table`, whose size is a power of 2."""
    shift = np.uint64(64)
    size = np.int64(1)
    while size < table.size:
        size *= 2
        shift -= np.uint64(1)
    return shift


_shift_of = jit(_shift_of)


def _slot(table, keys, key, shift):
    """Where `key` is in the table or would go; open addressing with linear probing."""
    # Unsigned indices spare numba's test for negative ones.
    slot = np.uint64(key * _GOLDEN) >> shift
    last = np.uint64(table.size - 1)
    while table[slot] >= 0 and keys[np.uint64(table[slot])] != key:
        slot = (slot + np.uint64(1)) & last
    return slot


_slot = jit(_slot)


def _doubled(keys, count, table):
    """A table of twice the size with the first `count` keys, and room for half as many keys as it has slots."""
    # Loops, here and below: numba compiles np.full and slices for seconds, for the sake of their error messages.
    larger = np.empty(table.size * 2, dtype=np.int32)
    for slot in range(larger.size):
        larger[slot] = -1
    shift = _shift_of(larger)
    more = np.empty(larger.size // 2 + 1, dtype=np.int64)
    for i in range(count):
        more[i] = keys[i]
        larger[_slot(larger, more, more[i], shift)] = i
    return more, larger


_doubled = jit(_doubled)


def new_table():
    """An empty table: (keys, table)."""
    return _doubled(np.empty(0, dtype=np.int64), 0, np.empty(512, dtype=np.int32))


new_table = jit(new_table)


def _number(wanted, start, keys, count, table, numbers, offset):
    """Numbers of `wanted[start:]`, written from numbers[offset] on, until the table is half full.

    Growing is the caller's: an array that is replaced inside a loop costs numba a reference count each time round.

    Returns:
        Where it stopped in `wanted`, and how many keys there are now.
    """
    shift = _shift_of(table)
    room = keys.size - 1
    for i in range(start, wanted.size):
        key = wanted[i]
        slot = _slot(table, keys, key, shift)
        number = table[slot]
        if number < 0:
            if count >= room:
                return i, count
            number = count
            keys[count] = key
            table[slot] = number
            count += 1
        numbers[offset + i] = number
    return wanted.size, count


_number = jit(_number)


@cache
def embed(dims: int) -> Any:
    """The kernel that locates pixels in the lattice of so many dimensions.

    It follows the arithmetic of the original implementation operation by operation, in float32, because pixels on
    the boundary of two simplices are common (coordinates and colours are integers) and have to fall on the same side.
    """
    corners = dims + 1

    def embed(image, widths, scales, low, strides, points, weights, first, last):
        """Rows `first` to `last` of `image` (h, w, channel).

        Writes the points' numbers (counted in this call alone) to points (pixel * corner) and the barycentric
        weights to weights (pixel, corner); returns the numbered points: (keys, count, table).
        """
        width = image.shape[1]
        up, down = np.float32(corners), np.float32(1.0) / np.float32(corners)
        # 16 pixels at a time, coordinate by coordinate.
        scaled = np.empty(dims * _WIDE, dtype=np.float32)
        for k in range(scaled.size):
            scaled[k] = 0
        elevated = np.empty(corners * _WIDE, dtype=np.float32)
        nearest = np.empty(corners * _WIDE, dtype=np.float32)
        apart = np.empty(corners * _WIDE, dtype=np.float32)
        rank = np.empty(corners * _WIDE, dtype=np.float32)
        ordered = np.empty(corners, dtype=np.float32)
        steps = np.empty(corners, dtype=np.int64)
        row = np.empty(width * corners, dtype=np.int64)
        none = zero(_WIDE)
        one = np.empty(_WIDE, dtype=np.float32)
        for k in range(_WIDE):
            one[k] = 1
        keys, table = new_table()
        count = 0
        for y in range(first, last):
            for k in range(_WIDE):
                scaled[_WIDE + k] = (np.float32(y) / widths[1]) * scales[1]
            for x0 in range(0, width, _WIDE):
                many = min(_WIDE, width - x0)
                for k in range(many):
                    scaled[k] = (np.float32(x0 + k) / widths[0]) * scales[0]
                for c in range(2, dims):
                    for k in range(many):
                        scaled[c * _WIDE + k] = (np.float32(image[y, x0 + k, c - 2]) / widths[c]) * scales[c]
                # Elevate: y = E p (Adams et al., page 5).
                rest = none
                for j in range(dims, 0, -1):
                    own = load(scaled, (j - 1) * _WIDE, _WIDE)
                    store(elevated, j * _WIDE, subtract(rest, scale(own, np.float32(j))))
                    rest = add(rest, own)
                store(elevated, 0, rest)
                # The nearest point of remainder 0, in units of d + 1.
                excess = none
                for i in range(corners):
                    here = load(elevated, i * _WIDE, _WIDE)
                    rounded = nearest_integer(scale(here, down))
                    store(nearest, i * _WIDE, rounded)
                    store(apart, i * _WIDE, subtract(here, scale(rounded, up)))
                    excess = add(excess, rounded)
                # How many coordinates differ more from it, ties to the lower index; shifted by how far the point is
                # from the plane where coordinates sum to 0.
                for i in range(corners):
                    store(rank, i * _WIDE, excess)
                for i in range(dims):
                    here = load(apart, i * _WIDE, _WIDE)
                    for j in range(i + 1, corners):
                        smaller = less(here, load(apart, j * _WIDE, _WIDE))
                        larger = subtract(load(one, 0, _WIDE), smaller)
                        store(rank, i * _WIDE, add(load(rank, i * _WIDE, _WIDE), smaller))
                        store(rank, j * _WIDE, add(load(rank, j * _WIDE, _WIDE), larger))
                # Back onto that plane.
                for i in range(corners):
                    place = load(rank, i * _WIDE, _WIDE)
                    over = less(scale(load(one, 0, _WIDE), np.float32(dims)), place)
                    shift_by = subtract(less(place, none), over)
                    store(rank, i * _WIDE, add(place, scale(shift_by, up)))
                    rounded = add(load(nearest, i * _WIDE, _WIDE), shift_by)
                    store(nearest, i * _WIDE, rounded)
                    offset = subtract(load(elevated, i * _WIDE, _WIDE), scale(rounded, up))
                    store(apart, i * _WIDE, scale(offset, down))
                # Corners of the simplex and barycentric weights (page 10).
                for k in range(many):
                    key = np.int64(0)
                    for i in range(corners):
                        place = np.int32(rank[i * _WIDE + k])
                        ordered[place] = apart[i * _WIDE + k]
                        steps[place] = strides[i]
                        if i < dims:
                            key += (np.int64(nearest[i * _WIDE + k]) - low[i]) * strides[i]
                    pixel = np.int64(y) * width + x0 + k
                    for r in range(corners):
                        if r == 0:
                            weights[pixel, r] = ordered[dims] + (np.float32(1.0) - ordered[0])
                        else:
                            weights[pixel, r] = ordered[dims - r] - ordered[corners - r]
                            key += 1 - steps[corners - r]
                        row[(x0 + k) * corners + r] = key
            done = np.int64(0)
            while True:
                done, count = _number(row, done, keys, count, table, points, np.int64(y) * row.size)
                if done == row.size:
                    break
                keys, table = _doubled(keys, count, table)
        return keys, count, table

    return jit(embed, f"{dims}")


def merge_points(keys, count, table, more):
    """Number the keys in `more` too: (number of each, keys, count, table)."""
    numbers = np.empty(more.size, dtype=np.int32)
    done = np.int64(0)
    while True:
        done, count = _number(more, done, keys, count, table, numbers, 0)
        if done == more.size:
            return numbers, keys, count, table
        keys, table = _doubled(keys, count, table)


merge_points = jit(merge_points)


def renumber(points, numbers, first, last):
    """Replace each point of pixels `first` to `last` by its entry in `numbers`."""
    for i in range(first, last):
        for r in range(points.shape[1]):
            points[i, r] = numbers[points[i, r]]


renumber = jit(renumber)


def link_neighbours(keys, table, steps, before, after, first, last):
    """Fill before[axis, point] and after[axis, point]; a point that does not exist stays as it was."""
    corners = steps.shape[0]
    shift = _shift_of(table)
    for v in range(first, last):
        remainder = keys[v] % corners
        for axis in range(corners):
            neighbour = table[_slot(table, keys, keys[v] + steps[remainder, axis], shift)]
            if neighbour >= 0:
                before[axis, v] = neighbour
                after[axis, neighbour] = v


link_neighbours = jit(link_neighbours)


def normalise(weights, norm, first, last):
    """weights[i] *= norm[i], for pixels `first` to `last`."""
    for i in range(first, last):
        for r in range(weights.shape[1]):
            weights[i, r] *= norm[i]


normalise = jit(normalise)
