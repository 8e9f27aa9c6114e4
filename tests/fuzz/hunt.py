"""The hunt: a watched process for each target, started anew where an input ends it."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.fuzz.worker import STACK, Outcome, work

__all__ = ["LIMIT_BYTES", "LIMIT_SECONDS", "hunt"]

LIMIT_SECONDS, LIMIT_BYTES = 10.0, 2 << 30
_START = 300.0  # seconds for a process to import what it needs and to make its seeds
_LOOK = 0.02  # seconds between looks at its memory


def hunt(
    name: str,
    numbers: Iterable[int],
    seed: int,
    show: Callable[[Outcome], None] = lambda outcome: None,
    limits: tuple[float, int] = (LIMIT_SECONDS, LIMIT_BYTES),
) -> list[Outcome]:
    """Try inputs of a target.

    Args:
        name: of the target.
        numbers: of the inputs.
        seed: of all of them.
        show: called with each outcome.
        limits: seconds and bytes of memory that an input may take.

    Returns:
        The outcomes. An input that takes too long is tried again in a fresh process, and counts where it does so twice:
        a machine may be busy.
    """
    outcomes: list[Outcome] = []
    queue, late = deque(numbers), set[int]()
    while queue:
        with _Process(name, seed, *limits) as process:
            while queue and process.alive:
                outcome = process.try_one(queue[0])
                if outcome.kind == "hang" and outcome.number not in late:
                    late.add(outcome.number)
                    break
                queue.popleft()
                outcomes.append(outcome)
                show(outcome)
    return outcomes


class _Process:
    """A worker and what is needed to watch it."""

    def __init__(self, name: str, seed: int, seconds: float, size: int) -> None:
        self._seconds, self._bytes = seconds, size
        self._folder = TemporaryDirectory(prefix="fuzz-")
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, name, seed, self._folder.name), daemon=True)
        self._process.start()
        theirs.close()
        if not self._connection.poll(_START):
            raise TimeoutError(f"the target {name} was not ready after {_START:g} s")
        self._connection.recv()
        self._seen = psutil.Process(self._process.pid)

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._folder.cleanup()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def try_one(self, number: int) -> Outcome:
        start, peak = time.perf_counter(), 0
        self._connection.send(number)
        while not self._connection.poll(_LOOK):
            seconds = time.perf_counter() - start
            if not self.alive:
                return Outcome(number, "crash", f"exit code {self._process.exitcode}\n{self._stack()}", seconds, peak)
            peak = max(peak, self._seen.memory_info().rss)
            if peak > self._bytes or seconds > self._seconds:
                self._ask_for_stack()
                return Outcome(number, "large" if peak > self._bytes else "hang", self._stack(), seconds, peak)
        try:
            outcome = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            told = f"exit code {self._process.exitcode}\n{self._stack()}"
            return Outcome(number, "crash", told, time.perf_counter() - start, peak)
        too_large = outcome.kind in ("taken", "refused") and outcome.peak > self._bytes
        return replace(outcome, kind="large") if too_large else outcome

    def _ask_for_stack(self) -> None:
        self._seen.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
        self._process.kill()
        self._process.join()

    def _stack(self) -> str:
        return (Path(self._folder.name) / STACK).read_text()
