"""Several processes for one job: each segments whole photos; one that dies costs at most the photo at hand.

The model is loaded once and shared by forking where it computes on the CPU of a system that forks; elsewhere each
process loads its own. Workers speak with their parent alone, through a pipe each, and end when it does. The first that
a worker says is that it is ready: who dies before died of no photo, and what kept it from being ready is no photo's.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from pnpovss.batch.events import Failed, Outcome, Task, one_line
from pnpovss.batch.job import Job
from pnpovss.batch.pipeline import WRITERS, overlapped
from pnpovss.errors import ModelError, NamesError

__all__ = ["Workers", "can_share", "received", "threads_for"]

AHEAD = WRITERS + 3  # tasks that a worker holds: being written, being looked at, being read, and one to go on with
TRIES = 2  # processes that a photo may end, alone in them, before it is given up
PAUSE = 0.1  # seconds after which a worker that waits for a task asks whether one is still wanted
PATIENCE = 5.0  # seconds in which a worker may finish the photos at hand when the run is stopped

logger = logging.getLogger("pnpovss")


def can_share(device: str) -> bool:
    """Whether workers can share a model that is loaded on this device: CPU memory, on a system that forks."""
    return device == "cpu" and sys.platform.startswith("linux")


def threads_for(workers: int) -> int:
    """Threads for each of so many processes: their share of the cores, and no more than OMP_NUM_THREADS allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores // workers, int(limit) if limit.isdecimal() and int(limit) else cores))


class Workers:
    """Processes that run a job; a context manager, at whose end they are gone.

    Attributes:
        report: what their presence filters did, summed; complete at the end of `run_all`.
    """

    def __init__(self, makers: Sequence[Callable[[], Job]], threads: int, *, share: bool) -> None:
        """Make the processes, and wait until all of them are ready.

        Args:
            makers: one for each process: gives its job. With `share`, the job is there already; without, it is made in
                the process, and must be fit to be sent there.
            threads: for each process.
            share: whether processes are forked from this one.

        Raises:
            ModelError: a process ended before it was ready.
            Exception: whatever a maker raises.
        """
        self._context: Any = multiprocessing.get_context("fork" if share else "spawn")
        self._share, self._threads = share, threads
        self._workers: list[_Worker] = []
        self.report: dict[str, Any] = {}
        try:
            for make in makers:
                self._workers.append(self._start(make))
            for worker in self._workers:
                worker.become_ready()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.end()

    def run_all(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Every photo, in the order in which they are done.

        Raises:
            NamesError: the model cannot read the job's names.
            Exception: processes died, and what keeps any other from taking their places.
        """
        waiting, tries = iter(tasks), dict[Task, int]()
        again: deque[Task] = deque()
        while busy := self._fed(again, waiting):
            speaking = wait([worker.pipe for worker in busy])
            for worker in busy:
                if worker.pipe not in speaking:
                    continue
                if not worker.ready:
                    self._welcome(worker)
                    continue
                try:
                    yield worker.receive()
                except (EOFError, OSError):
                    yield from self._lost(worker, tries, again)
                    self._workers[self._workers.index(worker)] = self._start(worker.make)
        self._collect_reports()

    def _fed(self, again: deque[Task], waiting: Iterator[Task]) -> "list[_Worker]":
        """Give tasks to all that are ready; those that have something to say: on a task, or that they are ready."""
        for worker in self._workers:
            if worker.ready:
                worker.feed(again, waiting)
        return [worker for worker in self._workers if worker.held or not worker.ready]

    def _welcome(self, worker: "_Worker") -> None:
        """Hear whether one that takes another's place is ready; if it cannot be, the others go on without it."""
        try:
            worker.become_ready()
        except Exception as error:
            if len(self._workers) == 1:
                raise
            self._workers.remove(worker)
            worker.pipe.close()
            worker.end()
            logger.warning("a process that ended cannot be replaced; the others go on: %s", one_line(error))

    def _lost(self, worker: "_Worker", tries: dict[Task, int], again: deque[Task]) -> Iterator[Outcome]:
        """What becomes of the tasks of a process that died: each is tried again, alone, so that the culprit shows."""
        suspects = list(worker.held)
        again.extend(suspects)
        if len(suspects) > 1:
            logger.warning("a process ended (%s); its photos are tried again, one by one", worker.how())
            return
        [photo] = suspects
        tries[photo] = tries.get(photo, 0) + 1
        if tries[photo] < TRIES:
            return
        again.remove(photo)
        why = f"{photo.photo}: the process at work on it ended {TRIES} times ({worker.how()})"
        if photo.given_up:
            yield Failed(photo, why, "")
        else:  # another process writes that down
            again.append(replace(photo, given_up=why))

    def _start(self, make: Callable[[], Job]) -> "_Worker":
        ours, theirs = self._context.Pipe()
        others = [worker.pipe for worker in self._workers] if self._share else []
        process = self._context.Process(
            target=_work, args=(theirs, [*others, ours] if self._share else [], make, self._threads), daemon=True
        )
        with warnings.catch_warnings():  # Python warns where threads are about; a worker uses nothing that they hold
            warnings.filterwarnings("ignore", "This process", DeprecationWarning)
            process.start()
        theirs.close()
        return _Worker(process, ours, make)

    def _collect_reports(self) -> None:
        for worker in self._workers:
            for key, value in worker.finish().items():
                counts = isinstance(value, int | float)
                self.report[key] = self.report.get(key, 0) + value if counts else value


class _Worker:
    """The parent's side of one process."""

    def __init__(self, process: Any, pipe: Connection, make: Callable[[], Job]) -> None:
        self.process, self.pipe, self.make = process, pipe, make
        self.ready = False  # whether it has its job
        self.held: deque[Task] = deque()
        self.alone = False  # whether the task that it holds is one that a process may have died of

    def become_ready(self) -> None:
        """Wait until it has its job.

        Raises:
            ModelError: it ended before.
            Exception: whatever kept it from that.
        """
        try:
            told = self.pipe.recv()
        except (EOFError, OSError) as gone:
            raise ModelError(
                f"a process ended while it loaded the model ({self.how()}); fewer --workers take less memory"
            ) from gone
        if told is not None:
            error, where = told
            raise error from RuntimeError(f"in another process:\n{where}")
        self.ready = True

    def feed(self, again: deque[Task], waiting: Iterator[Task]) -> None:
        """Give it tasks until it holds enough, those of processes that died first, and each of these alone."""
        while len(self.held) < (1 if self.alone or again else AHEAD):
            self.alone = bool(again)
            task = again.popleft() if again else next(waiting, None)
            if task is None:
                return
            self.held.append(task)
            try:
                self.pipe.send(task)
            except OSError:  # it died; that is found, and told, when its answer is read
                return

    def receive(self) -> Outcome:
        """What became of the task at hand.

        Raises:
            NamesError: the model cannot read the job's names.
            EOFError: the process is gone.
        """
        outcome, messages = self.pipe.recv()
        self.held.popleft()
        for message in messages:
            logger.warning("%s", message)
        if isinstance(outcome, NamesError):
            raise outcome
        return outcome

    def how(self) -> str:
        """How it ended, such as "killed by SIGKILL, as when memory runs out"."""
        self.process.join(10)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")

    def finish(self) -> dict[str, Any]:
        """Let it go; gives what its presence filter did."""
        try:
            self.pipe.send(None)
            return self.pipe.recv()
        except (EOFError, OSError):
            return {}

    def end(self) -> None:
        """See that it ends: its pipe is closed, so it does after the photos at hand, or is made to."""
        self.process.join(PATIENCE if self.ready else 0)
        self.process.kill()
        self.process.join()


def _work(pipe: Connection, foreign: Sequence[Connection], make: Callable[[], Job], threads: int) -> None:
    """A worker process: photos in, outcomes out, until the parent says so or is gone."""
    for other in foreign:  # while a sibling held them, the end of the parent would go unnoticed
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # no photo is lost by an end at any moment
    import torch

    torch.set_num_threads(threads)
    messages = _collected()
    try:
        if (job := _made(pipe, make)) is None:
            return
        stopped = threading.Event()
        for outcome in overlapped(job, received(pipe, stopped), stopped.set):
            pipe.send((outcome, tuple(messages)))
            messages.clear()
        pipe.send(job.presence.report() if job.presence else {})
    except NamesError as error:
        pipe.send((error, ()))
    except (EOFError, BrokenPipeError):  # the parent is gone
        pass


def _made(pipe: Connection, make: Callable[[], Job]) -> Job | None:
    """The job, and word to the parent that it is there; None where it cannot be had, and word to the parent why."""
    try:
        job = make()
    except Exception as error:
        pipe.send((_portable(error), traceback.format_exc()))
        return None
    pipe.send(None)
    return job


def _portable(error: Exception) -> Exception:
    """It, or, where it does not come through as it is sent to another process, one that says the same."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:  # errors of other packages may need arguments of their own
        return RuntimeError(f"{type(error).__name__}: {error}")


def received(pipe: Connection, stopped: threading.Event) -> Iterator[Task]:
    """Tasks from the parent, until it sends None, or nobody here wants more: it may have none to send for long."""
    while not stopped.is_set():
        if pipe.poll(PAUSE):
            if (task := pipe.recv()) is None:
                return
            yield task


def _collected() -> list[str]:
    """Warnings of this process, for the parent to show; nothing is printed here."""
    messages: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logging.captureWarnings(True)
    for name in ("pnpovss", "py.warnings"):
        logging.getLogger(name).handlers[:] = [Collecting(logging.WARNING)]
    return messages
