"""Photo after photo, with the next one read and the last ones written while the model looks at the one between."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from pnpovss.batch.events import Outcome, Task
from pnpovss.batch.job import Begun, Job

__all__ = ["overlapped"]


WRITERS = 4  # photos whose files are written at a time: a disk or a server takes several as fast as one


def overlapped(job: Job, tasks: Iterable[Task], stop: Callable[[], None] = lambda: None) -> Iterator[Outcome]:
    """What becomes of each photo, in order; at most `WRITERS` and two more are in memory.

    Tasks are asked for one ahead, by a thread of its own; a photo that is done is given on at once, also while the
    next task is waited for.

    Args:
        job: what is done with each.
        tasks: the photos.
        stop: called when no more of them are wanted; who waits for the next one must then end.

    Raises:
        NamesError: the model cannot read the job's names.
    """
    source = iter(tasks)

    def read() -> Begun | Outcome | None:
        task = next(source, None)
        return None if task is None else job.begin(task)

    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(WRITERS, "write") as writer:
        reading: Future[Begun | Outcome | None] = reader.submit(read)
        writing: deque[Future[Outcome]] = deque()
        begun: Begun | Outcome | None = None
        try:
            while True:
                while writing and _first_is_done(writing, reading):
                    yield writing.popleft().result()
                begun = reading.result()
                if begun is None:
                    break
                reading = reader.submit(read)
                seen = job.look(begun) if isinstance(begun, Begun) else begun
                if len(writing) == WRITERS:
                    yield writing.popleft().result()
                begun = None  # from here on its claim is the writer's, which ends it when the files are there
                writing.append(writer.submit(job.finish, seen) if isinstance(seen, Begun) else _given(seen))
            while writing:
                yield writing.popleft().result()
        except (KeyboardInterrupt, SystemExit):  # the run is being stopped: what is written is told first
            while writing:
                yield writing.popleft().result()
            raise
        finally:
            stop()
            _let_go(begun)
            if not reading.cancel() and reading.exception() is None:
                _let_go(reading.result())


def _first_is_done(writing: "deque[Future[Outcome]]", reading: "Future[Any]") -> bool:
    """Wait for the next photo to be read, or the first to be written; whether the latter is."""
    return writing[0] in wait([writing[0], reading], return_when=FIRST_COMPLETED).done


def _let_go(photo: Begun | Outcome | None) -> None:
    """End the claim on a photo that will not be finished; the end of a claim that has ended is nothing."""
    if isinstance(photo, Begun):
        photo.claim.close()


def _given(outcome: Outcome) -> "Future[Outcome]":
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future
