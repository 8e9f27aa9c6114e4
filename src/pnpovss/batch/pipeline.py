"""Photo after photo, with the next one read and the last one written while the model looks at the one between."""

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from pnpovss.batch.events import Outcome, Task
from pnpovss.batch.job import Begun, Job

__all__ = ["overlapped"]


def overlapped(job: Job, tasks: Iterable[Task]) -> Iterator[Outcome]:
    """What becomes of each photo, in order; at most three are in memory.

    Tasks are asked for one ahead, by a thread of its own; a photo that is done is given on at once, also while the
    next task is waited for.

    Raises:
        NamesError: the model cannot read the job's names.
    """
    source = iter(tasks)

    def read() -> Begun | Outcome | None:
        task = next(source, None)
        return None if task is None else job.begin(task)

    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        reading: Future[Begun | Outcome | None] = reader.submit(read)
        writing: Future[Outcome] | None = None
        begun: Begun | Outcome | None = None
        try:
            while True:
                both: list[Future[Any]] = [reading, *([writing] if writing else [])]
                if writing and writing in wait(both, return_when=FIRST_COMPLETED).done:
                    yield writing.result()
                    writing = None
                    continue
                begun = reading.result()
                if begun is None:
                    break
                reading = reader.submit(read)
                seen = job.look(begun) if isinstance(begun, Begun) else begun
                if writing:
                    yield writing.result()
                writing = writer.submit(job.finish, seen) if isinstance(seen, Begun) else _given(seen)
            if writing:
                yield writing.result()
        finally:
            _let_go(begun)
            if not reading.cancel() and reading.exception() is None:
                _let_go(reading.result())


def _let_go(photo: Begun | Outcome | None) -> None:
    """End the claim on a photo that will not be finished; the end of a claim that has ended is nothing."""
    if isinstance(photo, Begun):
        photo.claim.close()


def _given(outcome: Outcome) -> "Future[Outcome]":
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future
