"""Threads that any caller may use at once, and how many."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

from numba.core import config

__all__ = ["Workers", "default_threads"]


def default_threads() -> int:
    """The least of what the machine has and what anybody set.

    NUMBA_NUM_THREADS (else the cores that this process may use), OMP_NUM_THREADS, and torch's number where torch is
    loaded. `numba.get_num_threads()` is not asked: it starts numba's OpenMP layer, and that sets the number of threads
    of every OpenMP program in this process, torch included.
    """
    limits = [int(getattr(config, "NUMBA_NUM_THREADS"))]  # noqa: B009  (made when numba is imported)
    openmp = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if openmp.isdecimal() and int(openmp) > 0:
        limits.append(int(openmp))
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        limits.append(torch.get_num_threads())
    return min(limits)


class Workers:
    """Runs a jitted function on pieces of a range, one per thread.

    Plain threads and functions that release the GIL, not numba's own parallel loops: those die when two Python
    threads enter them at once (workqueue layer) or after a fork (GNU OpenMP).
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self.threads > 1:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="pnpovss-densecrf")
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
        """Bounds that cut `count` things into one equal piece per thread."""
        return [count * t // self.threads for t in range(self.threads + 1)]
