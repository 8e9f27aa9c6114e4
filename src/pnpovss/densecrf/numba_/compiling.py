"""numba's compiler with a cache that survives the process."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba

from pnpovss.densecrf.numba_.registers import REGISTERS

__all__ = ["announce", "jit"]

logger = logging.getLogger("pnpovss.densecrf")


def jit(function: Callable[..., Any], variant: str = "") -> Any:
    """`function` compiled without the GIL and cached on disk.

    numba keeps the cache beside the source file, else (a read-only installation) in the user's cache folder; the
    environment variable NUMBA_CACHE_DIR chooses another. Where none can be written, it compiles anew in each process.

    Args:
        function: of the subset of Python that numba compiles.
        variant: tells apart the kernels that one factory makes, in the names of cached files.
    """
    variant = "_".join(part for part in (variant, "" if REGISTERS == "simd" else REGISTERS) if part)
    if variant:
        function.__qualname__ = f"{function.__qualname__.rpartition('.')[2]}_{variant}"
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError as error:
        logger.warning("no folder to cache compiled code in (%s): set NUMBA_CACHE_DIR", error)
        return numba.njit(nogil=True)(function)


def announce(kernels: Sequence[Any]) -> None:
    """Tell when kernels are about to be compiled, so that a first call that takes seconds is no riddle.

    Args:
        kernels: some of the compiled functions, one for each set that is compiled together.
    """
    missing = sum(not kernel.signatures and not _in_cache(kernel) for kernel in kernels)
    if missing:
        logger.info("compiling the Dense CRF, once, about %d s", round(missing * _SECONDS))


# Measured for one set of kernels on one core of a 2.3 GHz Xeon.
_SECONDS = 2.0


def _in_cache(kernel: Any) -> bool:
    folder = kernel.stats.cache_path
    return folder is not None and any(Path(folder).glob(f"*.{kernel.py_func.__qualname__}-*.nbi"))
