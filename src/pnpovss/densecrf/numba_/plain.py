"""The operations of `simd` in plain numba, on tuples of numbers: slower, but free of LLVM's own instructions.

For a numba whose inner doors have moved, and to hold the SIMD operations against. What is done in each lane is
written out lane by lane, because numba has no loop that makes a tuple.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload as _untyped_overload

__all__ = [
    "add",
    "add_scaled",
    "blur3",
    "divide",
    "exp",
    "group_maximum",
    "group_total",
    "larger",
    "less",
    "load",
    "multiply",
    "nearest_integer",
    "scale",
    "store",
    "subtract",
    "zero",
]

# Called in jitted code, which takes the place of each function's body.
overload: Any = _untyped_overload


@numba.njit(nogil=True)
def _exp(x):
    return np.float32(math.exp(x)) if x >= np.float32(-87.0) else np.float32(0.0)


def _in_each_lane(arguments: str, expression: str, lanes: int) -> Callable[..., Any]:
    """A function of `arguments` that returns `expression` for each lane k, as a tuple."""
    written_out = ", ".join(expression.format(k=k) for k in range(lanes))
    return eval(f"lambda {arguments}: ({written_out},)", {"np": np, "_exp": _exp})


def _of_two(name: str, expression: str) -> Callable[..., Any]:
    def operation(left: Any, right: Any) -> Any:
        raise NotImplementedError

    operation.__doc__ = f"See `simd.{name}`."
    overload(operation)(lambda left, right: _in_each_lane("left, right", expression, left.count))
    return operation


add = _of_two("add", "left[{k}] + right[{k}]")
subtract = _of_two("subtract", "left[{k}] - right[{k}]")
multiply = _of_two("multiply", "left[{k}] * right[{k}]")
divide = _of_two("divide", "left[{k}] / right[{k}]")
larger = _of_two("larger", "left[{k}] if left[{k}] > right[{k}] else right[{k}]")
less = _of_two("less", "np.float32(1) if left[{k}] < right[{k}] else np.float32(0)")
scale = _of_two("scale", "left[{k}] * np.float32(right)")


def _of_groups(name: str, joined: str) -> Callable[..., Any]:
    def operation(lanes: Any, group: int) -> Any:
        raise NotImplementedError

    def typed(lanes, group):
        size = group.literal_value
        groups = [range(k - k % size, k - k % size + size) for k in range(lanes.count)]
        results = [joined.format(", ".join(f"lanes[{k}]" for k in members)) for members in groups]
        return eval(f"lambda lanes, group: ({', '.join(results)},)")

    operation.__doc__ = f"See `simd.{name}`."
    overload(operation, prefer_literal=True)(typed)
    return operation


group_maximum = _of_groups("group_maximum", "max({})")
group_total = _of_groups("group_total", "sum(({}))")


def zero(count: int) -> Any:
    """See `simd.zero`."""
    raise NotImplementedError


@overload(zero, prefer_literal=True)
def _zero(count):
    return _in_each_lane("count", "np.float32(0)", count.literal_value)


def load(array: Any, index: int, count: int) -> Any:
    """See `simd.load`."""
    raise NotImplementedError


@overload(load, prefer_literal=True)
def _load(array, index, count):
    return _in_each_lane("array, index, count", "array[index + {k}]", count.literal_value)


def store(array: Any, index: int, lanes: Any) -> None:
    """See `simd.store`."""
    raise NotImplementedError


@overload(store)
def _store(array, index, lanes):
    count = lanes.count

    def store_lanes(array, index, lanes):
        for k in range(count):
            array[index + k] = lanes[k]

    return store_lanes


def add_scaled(lanes: Any, weight: float, other: Any) -> Any:
    """See `simd.add_scaled`."""
    raise NotImplementedError


@overload(add_scaled)
def _add_scaled(lanes, weight, other):
    return _in_each_lane("lanes, weight, other", "lanes[{k}] + np.float32(weight) * other[{k}]", lanes.count)


def blur3(centre: Any, left: Any, right: Any) -> Any:
    """See `simd.blur3`."""
    raise NotImplementedError


@overload(blur3)
def _blur3(centre, left, right):
    return _in_each_lane(
        "centre, left, right", "centre[{k}] + np.float32(0.5) * (left[{k}] + right[{k}])", centre.count
    )


def nearest_integer(lanes: Any) -> Any:
    """See `simd.nearest_integer`."""
    raise NotImplementedError


@overload(nearest_integer)
def _nearest_integer(lanes):
    return _in_each_lane("lanes", "np.rint(lanes[{k}])", lanes.count)


def exp(lanes: Any) -> Any:
    """See `simd.exp`."""
    raise NotImplementedError


@overload(exp)
def _exp_of_lanes(lanes):
    return _in_each_lane("lanes", "_exp(lanes[{k}])", lanes.count)
