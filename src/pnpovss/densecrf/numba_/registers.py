"""The operations that kernels are made of: SIMD instructions, or plain numba where those cannot be had.

The environment variable PNPOVSS_DENSECRF_REGISTERS=plain chooses the second, which is several times slower; results
differ by rounding. A numba in which the SIMD operations no longer compile is told by a warning.
"""

import importlib
import logging
import os
from typing import Any

import numba
import numpy as np

from pnpovss.errors import InvalidInputError

__all__ = [
    "REGISTERS",
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

_VARIABLE = "PNPOVSS_DENSECRF_REGISTERS"
logger = logging.getLogger("pnpovss.densecrf")


def _module(kind: str) -> Any:
    return importlib.import_module(f"pnpovss.densecrf.numba_.{kind}")


def _choose() -> str:
    asked = os.environ.get(_VARIABLE, "simd")
    if asked not in {"simd", "plain"}:
        raise InvalidInputError(f"{_VARIABLE} must be simd or plain, got {asked!r}")
    if asked == "simd" and (reason := _why_simd_fails()):
        logger.warning("numba %s compiles no SIMD code of ours, so plain code runs: %s", numba.__version__, reason)
        return "plain"
    return asked


def _why_simd_fails() -> str:
    """What goes wrong when a little of everything is compiled; empty where nothing does."""
    try:
        simd = _module("simd")
        load, store, add_scaled, exp, group_total = simd.load, simd.store, simd.add_scaled, simd.exp, simd.group_total

        @numba.njit
        def sample(array):
            lanes = load(array, 0, 4)
            store(array, 0, group_total(exp(add_scaled(lanes, np.float32(1.0), lanes)), 4))

        array = np.zeros(4, np.float32)
        sample(array)
    except Exception as error:  # Whatever a numba of the future raises.
        return f"{type(error).__name__}: {error}"
    return "" if np.array_equal(array, np.full(4, 4)) else f"1 + 1 + 1 + 1 is {array[0]}"


REGISTERS: str = _choose()
_operations = _module(REGISTERS)

add = _operations.add
add_scaled = _operations.add_scaled
blur3 = _operations.blur3
divide = _operations.divide
exp = _operations.exp
group_maximum = _operations.group_maximum
group_total = _operations.group_total
larger = _operations.larger
less = _operations.less
load = _operations.load
multiply = _operations.multiply
nearest_integer = _operations.nearest_integer
scale = _operations.scale
store = _operations.store
subtract = _operations.subtract
zero = _operations.zero
