"""Requests that wait for a worker: so many and no more, each with a deadline, each given up when nobody wants it."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from math import ceil, inf
from random import uniform
from typing import Any

__all__ = ["Full", "GivenUp", "Late", "Stopped", "Work", "Workers", "go_on"]

LONGEST_WAIT = 60  # seconds that a client is told to wait at most
SMOOTH = 0.2  # weight of the last request in the mean of seconds


class Full(Exception):
    """Too many requests wait already.

    Attributes:
        retry_after: seconds until it is worth another try.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests are waiting; try again in {retry_after} s")
        self.retry_after = retry_after


class GivenUp(Exception):
    """Nobody waits for the answer any more."""


class Late(Exception):
    """The time that a request may take is over."""


class Stopped(Exception):
    """The service ends and takes nothing more."""


class Work:
    """One request that is computed by a worker.

    Attributes:
        run: computes the answer.
        deadline: on the monotonic clock [s].
        given_up: whether nobody waits for it any more.
        began: when a worker took it, on the same clock; None before.
    """

    def __init__(self, run: Callable[[], Any], seconds: float) -> None:
        self.run = run
        self.came = time.monotonic()
        self.deadline = self.came + seconds
        self.given_up = False
        self.began: float | None = None
        self.context = copy_context()
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self.loop.create_future()

    def go_on(self) -> None:
        """Return if it is worth going on.

        Raises:
            GivenUp: nobody waits any more.
            Late: its time is over.
        """
        if self.given_up:
            raise GivenUp
        if time.monotonic() > self.deadline:
            raise Late


_current: ContextVar[Work | None] = ContextVar("work", default=None)


def go_on() -> None:
    """End the computation at hand, by an exception, if nobody waits for it or its time is over; else return."""
    if (work := _current.get()) is not None:
        work.go_on()


class Workers:
    """Threads that compute one request at a time each, in the order in which they came.

    Attributes:
        running: requests that are computed now.
        seconds: smoothed mean of what one took.
    """

    def __init__(
        self,
        count: int,
        waiting: int,
        before: Callable[[int], None] = lambda busy: None,
        *,
        patience: float = inf,
    ) -> None:
        """Start the threads.

        Args:
            count: of threads.
            waiting: requests that may wait for one.
            before: called by a thread before each request, with the number of threads that are busy, itself included.
            patience: seconds; requests that would have to wait longer, as far as can be told, are refused.
        """
        self.count, self.most, self.patience = count, waiting, patience
        self.running = 0
        self.seconds = 1.0
        self._before = before
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._computed: set[Work] = set()  # now
        self._closed = False
        self._threads = [threading.Thread(target=self._live, name=f"worker-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether a further request would be refused: too many wait, or they would wait too long."""
        ahead = len(self._waiting) - (self.count - self.running)
        return ahead >= self.most or ahead / self.count * self.seconds > self.patience

    def refusal(self) -> Full:
        """What a client is told that came too late."""
        ahead = (self.waiting + self.running) / self.count
        # Until all who wait now are done; not the same for all who are refused, or they would come back together.
        return Full(max(1, min(LONGEST_WAIT, ceil(ahead * self.seconds * uniform(0.8, 1.6)))))

    def submit(self, run: Callable[[], Any], seconds: float) -> Work:
        """Let a worker compute it; the answer is awaited at `Work.answer`.

        Raises:
            Full: too many wait.
            Stopped: the service ends.
        """
        with self._changed:
            if self._closed:
                raise Stopped
            if self.is_full:
                raise self.refusal()
            work = Work(run, seconds)
            self._waiting.append(work)
            self._changed.notify()
        return work

    def give_up(self, work: Work) -> None:
        """Nobody waits for it any more: its place is free at once, and a worker that has it ends soon."""
        work.given_up = True
        with self._changed:
            if work in self._waiting:
                self._waiting.remove(work)

    def close(self, seconds: float = threading.TIMEOUT_MAX) -> int:
        """Finish what waits, then end the threads; take nothing more.

        Args:
            seconds: until which that must be done. What is left then is given up: it ends at its next step.

        Returns:
            How many requests were left.
        """
        end = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        with self._changed:
            left = [*self._waiting, *self._computed]
            self._waiting.clear()
        for work in left:
            work.given_up = True
        return len(left)

    def _live(self) -> None:
        while (work := self._take()) is not None:
            begun = time.monotonic()
            try:
                work.go_on()
                self._before(self.running)
                answer, error = work.context.run(self._run, work), None
            except BaseException as raised:  # the client's to see, whatever it is; this thread lives on
                answer, error = None, raised
            with self._changed:
                self.running -= 1
                self._computed.discard(work)
                if error is None:
                    self.seconds += SMOOTH * (time.monotonic() - begun - self.seconds)
            _tell(work, answer, error)

    def _take(self) -> Work | None:
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            self.running += 1
            work = self._waiting.popleft()
            self._computed.add(work)
            work.began = time.monotonic()
            return work

    @staticmethod
    def _run(work: Work) -> Any:
        _current.set(work)
        return work.run()


def _tell(work: Work, answer: Any, error: BaseException | None) -> None:
    def tell() -> None:
        if work.answer.done() or work.given_up:
            return
        if error is None:
            work.answer.set_result(answer)
        else:
            work.answer.set_exception(error)

    try:
        work.loop.call_soon_threadsafe(tell)
    except RuntimeError:  # the loop is closed: nobody is left to be told
        pass
