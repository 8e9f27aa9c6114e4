"""One JSON line for each finished image: what makes a run resumable after kill -9.

A line is written in one piece and forced to disk before the next image starts, so a killed run leaves whole lines and
at most one torn one at the end, which is cut off when the journal is opened again. Records go by their key: a line that
is there twice counts once.
"""

import json
import os
from pathlib import Path
from typing import Any

from pnpovss.errors import OutputError

__all__ = ["Journal", "read_journal"]

Record = dict[str, Any]


class Journal:
    """Finished images, by key, and the file that remembers them.

    Attributes:
        path: the JSON-lines file.
        records: by the record's "key", in the order of the file.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file; a torn last line is removed from it.

        Raises:
            OutputError: a line in the middle is damaged, or the file cannot be written.
        """
        self.path = path
        self.records, whole = _parse(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._file, whole)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def append(self, record: Record) -> None:
        """Add a finished image; on return it is on the disk.

        Raises:
            OutputError: the disk is full, or the like.
        """
        line = json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"
        data = line.encode()
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        self.records[record["key"]] = record

    def close(self) -> None:
        """Close the file; the records stay readable."""
        os.close(self._file)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_journal(path: Path) -> dict[str, Record]:
    """The records of a journal by key, without touching the file; a torn last line is passed over.

    Raises:
        OutputError: a line in the middle is damaged.
    """
    return _parse(path)[0]


def _parse(path: Path) -> tuple[dict[str, Record], int]:
    """Records by key, and how many bytes of the file they take."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    records: dict[str, Record] = {}
    lines = data[:whole].splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records[record["key"]] = record
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # torn, with blocks of the disk behind it
                return records, whole - len(line) - 1
            raise OutputError(
                f"{path}, line {number} is no record of an image; remove the line, and the image is done again"
            ) from error
    return records, whole
