"""numba's compiler with a cache that survives the process, and threads that any caller may use at once."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import numba
import numpy as np

__all__ = ["Workers", "jit"]

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
        own: Sequence[Any] | np.ndarray | None = None,
    ) -> list[Any]:
        """`function(*arguments, [own[t],] first, last)` for the t-th neighbouring pair of `bounds`; results in order."""
        calls = [
            (*arguments, *(() if own is None else (own[t],)), bounds[t], bounds[t + 1]) for t in range(len(bounds) - 1)
        ]
        if self._pool is None or len(calls) == 1:
            return [function(*call) for call in calls]
        futures = [self._pool.submit(function, *call) for call in calls[1:]]
        try:
            first = function(*calls[0])
        finally:
            wait(futures)
        return [first, *(future.result() for future in futures)]

    def even(self, count: int) -> list[int]:
        """Bounds that cut `count` things into one equal piece a thread."""
        return [count * t // self.threads for t in range(self.threads + 1)]

    def balanced(self, starts: np.ndarray) -> list[int]:
        """Bounds that cut rows into pieces of equal work, row i having `starts[i + 1] - starts[i]` entries."""
        rows = len(starts) - 1
        # A row costs something by itself too.
        work = starts + 2 * np.arange(rows + 1, dtype=np.int64)
        return [0, *(int(np.searchsorted(work, work[-1] * t // self.threads)) for t in range(1, self.threads)), rows]
