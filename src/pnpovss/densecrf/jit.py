"""numba's compiler with a cache that survives the process, and threads that any caller may use at once."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any

import numba

__all__ = ["Workers", "announce", "jit"]

logger = logging.getLogger("pnpovss.crf")


def jit(function: Callable[..., Any], variant: str = "") -> Any:
    """`function` compiled without the GIL and cached on disk.

    numba keeps the cache beside the source file, else (a read-only installation) in the user's cache folder; the
    environment variable NUMBA_CACHE_DIR chooses another. Where none can be written, it compiles anew in each process.

    Args:
        function: of the subset of Python that numba compiles.
        variant: tells apart the kernels that one factory makes, in the names of cached files.
    """
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


class Workers:
    """Runs a jitted function on pieces of a range, one a thread.

    Plain threads and functions that release the GIL, not numba's own parallel loops: those die when two Python
    threads enter them at once (workqueue layer) or after a fork (GNU OpenMP).
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self.threads > 1:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="pnpovss-crf")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def run(
        self,
        function: Callable[..., Any],
        bounds: Sequence[int],
        *arguments: Any,
        own: Sequence[Any] | None = None,
    ) -> list[Any]:
        """`function(*arguments, [own[t],] first, last)` for the t-th pair in `bounds`; the results, in order."""
        calls = [
            (*arguments, *(() if own is None else (own[t],)), bounds[t], bounds[t + 1]) for t in range(len(bounds) - 1)
        ]
        return self.run_all([(function, call) for call in calls])

    def run_all(self, calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
        """`function(*arguments)` for each of `calls`, the longest first to use all threads; the results, in order."""
        if self._pool is None or len(calls) == 1:
            return [function(*arguments) for function, arguments in calls]
        results: list[Any] = [None] * len(calls)
        waiting = iter(range(len(calls)))  # Shared; taking the next is atomic.

        def drain() -> None:
            for t in waiting:
                function, arguments = calls[t]
                results[t] = function(*arguments)

        helpers = [self._pool.submit(drain) for _ in range(min(self.threads, len(calls)) - 1)]
        try:
            drain()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()
        return results

    def even(self, count: int) -> list[int]:
        """Bounds that cut `count` things into one equal piece a thread."""
        return [count * t // self.threads for t in range(self.threads + 1)]
