"""Photo after photo, overlapped: whatever stops a run, a photo that is being written is finished."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pnpovss.batch.events import Outcome, Task
from pnpovss.batch.job import Begun, Job
from pnpovss.batch.pipeline import overlapped
from pnpovss.names import Name
from tests.support.painter import Painter
from tests.support.program_calls import files, save_flag


class Slow(Job):
    """Takes a moment before it writes each photo, longer for "b"."""

    def finish(self, begun: Begun) -> Outcome:
        time.sleep(0.5 if begun.task.stem == "b" else 0.1)
        return super().finish(begun)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    painter = Painter()
    painter.labels[32, 32] = np.zeros((32, 32), np.uint8)
    return Slow(painter, (Name("red"),), tmp_path / "out", ("labels",))  # type: ignore[arg-type]


def task(folder: Path, stem: str) -> Task:
    return Task(str(save_flag(folder / f"{stem}.png")), stem)


def test_what_is_being_written_is_finished_when_the_parent_is_gone(job: Job, tmp_path: Path):
    def tasks() -> Iterator[Task]:
        yield task(tmp_path, "a")
        raise EOFError  # as of a pipe whose other end is closed

    with pytest.raises(EOFError):
        list(overlapped(job, tasks()))
    assert files(tmp_path / "out") == {"a.json", "a.labels.png"}


def test_what_is_being_written_is_finished_when_nobody_wants_more(job: Job, tmp_path: Path):
    stopped, looked = threading.Event(), threading.Event()

    class Together(Slow):
        """Has written "a" no sooner than "b" was looked at."""

        def look(self, begun: Begun) -> Begun | Outcome:
            seen = super().look(begun)
            if begun.task.stem == "b":
                looked.set()
            return seen

        def finish(self, begun: Begun) -> Outcome:
            assert begun.task.stem == "b" or looked.wait(60)
            return super().finish(begun)

    def tasks() -> Iterator[Task]:
        yield task(tmp_path, "a")
        yield task(tmp_path, "b")
        stopped.wait()

    run = overlapped(Together(job.segmenter, job.names, job.out, job.outputs), tasks(), stopped.set)
    assert next(run).task.stem == "a"
    run.close()  # type: ignore[attr-defined]
    assert files(tmp_path / "out") == {"a.json", "a.labels.png", "b.json", "b.labels.png"}
