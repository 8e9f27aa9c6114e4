"""What becomes of each photo of a run, as values: small, without pixels, fit to be sent from one process to another."""

import traceback
from dataclasses import dataclass
from typing import Any

from pnpovss.errors import PnpOvssError, ResourceError
from pnpovss.names import Name

__all__ = ["Done", "Failed", "Outcome", "Skipped", "Task", "one_line", "page_of", "ran_out_of_memory"]

_CPU_FULL = "can't allocate memory"  # of PyTorch's allocator


@dataclass(frozen=True)
class Task:
    """A photo to be segmented.

    Attributes:
        photo: its path or URL.
        stem: where its results go, below the output folder and without a suffix, with "/" between folders.
        names: its own names; None means those of the job.
        given_up: why it is not to be tried again, but written down as failed; None where it is to be tried.
    """

    photo: str
    stem: str
    names: tuple[Name, ...] | None = None
    given_up: str | None = None


@dataclass(frozen=True)
class Done:
    """A photo was segmented and its files are written.

    Attributes:
        task: the photo.
        record: what NAME.json holds.
        hints: lines on what the result looks like, and what to change.
        anew: why it was segmented again although it was finished; None where it was not.
    """

    task: Task
    record: dict[str, Any]
    hints: tuple[str, ...] = ()
    anew: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A photo was finished before, with the same content, names and settings.

    Attributes:
        task: the photo.
        record: what NAME.json holds.
    """

    task: Task
    record: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """A photo could not be segmented, or its files not be written; none of them is there.

    Attributes:
        task: the photo.
        error: why, in a line that names the photo.
        details: the traceback; empty where the failure is an earlier one.
    """

    task: Task
    error: str
    details: str

    @classmethod
    def by(cls, task: Task, error: Exception) -> "Failed":
        """From the exception that ended it."""
        text, photo = one_line(error), task.photo
        details = "".join(traceback.format_exception(error))
        return cls(task, text if photo in text else f"{photo}: {text}", details)


Outcome = Done | Skipped | Failed


def one_line(error: BaseException) -> str:
    """An error as one readable line; of an unexpected kind, its name is said too."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PnpOvssError):
        return text
    if ran_out_of_memory(error):
        return f"memory ran out: take a smaller photo or image_size, fewer --workers, or --dtype bfloat16 ({text})"
    return f"unexpected {type(error).__name__}: {text}"


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so: Python's own, or PyTorch's, of which that of the CPU has no kind of its own."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _CPU_FULL in str(error)


def page_of(error: BaseException) -> str | None:
    """The page of the documentation that says more about an error; None where none does."""
    if isinstance(error, PnpOvssError):
        return error.page
    return ResourceError.page if ran_out_of_memory(error) else None
