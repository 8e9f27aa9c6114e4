"""The records of a run in one JSON document, written as they come: memory does not grow with the photos."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from pnpovss.batch.naming import folded
from pnpovss.batch.outputs import json_text
from pnpovss.errors import OutputError
from pnpovss.files.marks import same

__all__ = ["Records", "records_file", "refuse_target"]

Failure = dict[str, str | None]

_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")  # JSON itself escapes those below
_OPENING = '{\n"results": ['


class Records:
    """A document {"results": [...], "failures": [...]} on its way; failures come last, and wait on the disk."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._between = "\n"
        self._failures = tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace")
        file.write(_OPENING)

    def add(self, record: dict[str, Any]) -> None:
        """One more photo that was done."""
        self._file.write(self._between + _shown(record))
        self._between = ",\n"

    def add_failure(self, failure: Failure) -> None:
        """One more photo, or request, that failed."""
        self._failures.write((",\n" if self._failures.tell() else "") + _shown(failure))

    def close(self) -> None:
        """Complete the document."""
        with self._failures:
            self._failures.seek(0)
            self._file.write('\n],\n"failures": [\n')
            shutil.copyfileobj(self._failures, self._file)
        self._file.write("\n]\n}\n")
        self._file.flush()


def _shown(value: dict[str, Any]) -> str:
    """As JSON that may be shown on a terminal: what would steer it stands as an escape, as JSON has them."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text(value))


@contextmanager
def records_file(path: Path) -> Iterator[Records]:
    """A document that appears under its name when the block ends, also where it is interrupted.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = path.parent / f".pnpovss-{secrets.token_hex(8)}.part"
    try:
        with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            records = Records(file)
            try:
                yield records
            finally:
                records.close()
                os.fsync(file.fileno())
                temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file with --json") from error
    finally:
        temporary.unlink(missing_ok=True)


def refuse_target(path: Path, photos: Iterable[Path], results: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse, before any work, a file that could not be written in the end, or that holds something else.

    Args:
        path: of the file.
        photos: that the run reads.
        results: files that the run writes itself; not all need to be there.
        overwrite: whether another file that is there may be replaced, unless it is one of these.

    Raises:
        OutputError: a folder, one of the photos or results, a file that is no such document, or a place that is not
            writable.
    """
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; choose another file with --json")
    if any(same(path, photo) for photo in photos):
        raise OutputError(f"{path} is one of the photos; choose another file with --json")
    if any(_would_be(path, result) for result in results):
        raise OutputError(f"{path} is where the results of one photo go; choose another file with --json")
    try:
        if not overwrite and path.exists() and not _is_ours(path):
            raise OutputError(f"{path} was not made by --json; choose another file, or replace it with --overwrite")
        trial = path.parent / f".pnpovss-{secrets.token_hex(8)}.part"
        trial.touch(exist_ok=False)
        trial.unlink()
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another file with --json") from error


def _would_be(one: Path, other: Path) -> bool:
    """Whether two paths, of files that need not be there, lead to the same place."""
    return folded(one.name) == folded(other.name) and os.path.realpath(one.parent) == os.path.realpath(other.parent)


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_OPENING)) in (_OPENING.encode(), b"")
