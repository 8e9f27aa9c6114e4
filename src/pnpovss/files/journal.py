"""One line for each finished image: what makes a run resumable after kill -9, and what cannot be altered unseen.

A line is a record as JSON beside the checksum of its text: `{"check":"<16 hex digits>","record":{"key":...}}`. It is
written in one piece and forced to disk before the next image starts, so a killed run leaves whole lines and at most one
torn one at the end, which is cut off when the journal is opened again. Whatever else does not fit is refused: a flipped
bit, a record of a photo that is not of the run, one that the caller's check does not know, two writers at once.
"""

import os
from collections.abc import Callable, Collection
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pnpovss.errors import OutputError
from pnpovss.files.json import from_json, to_json
from pnpovss.files.lock import lock

__all__ = ["Journal", "Record", "read_journal"]

Record = dict[str, Any]
Check = Callable[[Record], None]

_HEAD, _MIDDLE, _TAIL = b'{"check":"', b'","record":', b"}"
_DIGITS = 16


class Journal:
    """Finished images, by key, and the file that remembers them; it is locked while it is open.

    Attributes:
        path: the JSON-lines file.
        records: by the record's "key", in the order of the file.
    """

    def __init__(self, path: Path, *, keys: Collection[str] | None = None, check: Check | None = None) -> None:
        """Open or create the file; a torn last line is removed from it.

        Args:
            path: of the file.
            keys: those that a record may have, of all images of the run; None accepts any.
            check: called with each record that is there; raises ValueError, KeyError or TypeError for one that is not
                as it should be.

        Raises:
            OutputError: another process writes it, a line is damaged or not of this run, or it cannot be written.
        """
        self.path = path
        self._keys = None if keys is None else frozenset(keys)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            as_it_is = getattr(os, "O_BINARY", 0)  # Windows would write \r\n, which the checksums do not know
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | as_it_is, 0o644)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        try:
            lock(self._file, path)
            self.records, self._size = _parse(path, self._keys, check)
            os.ftruncate(self._file, self._size)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, record: Record) -> None:
        """Add a finished image; on return it is on the disk. Where that fails, the file is as before.

        Raises:
            OutputError: the disk is full, or the like.
            InvalidInputError: a number that is not finite.
            ValueError: a key that is there already, or is not of this run; a mistake of the caller.
        """
        key = record["key"]
        if key in self.records or (self._keys is not None and key not in self._keys):
            raise ValueError(f"{key!r} is {'recorded already' if key in self.records else 'not of this run'}")
        line = _line(record)
        try:
            _write(self._file, line)
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        self._size += len(line)
        self.records[key] = record

    def close(self) -> None:
        """Close and unlock the file; the records stay readable."""
        os.close(self._file)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_journal(path: Path, *, keys: Collection[str] | None = None, check: Check | None = None) -> dict[str, Record]:
    """The records of a journal by key, without touching the file; a torn last line is passed over.

    Args:
        path: of the file; one that is not there has no records.
        keys: see `Journal`.
        check: see `Journal`.

    Raises:
        OutputError: a line is damaged or not of this run.
    """
    return _parse(path, None if keys is None else frozenset(keys), check)[0]


def _line(record: Record) -> bytes:
    text = to_json(record)
    return _HEAD + _checksum(text) + _MIDDLE + text + _TAIL + b"\n"


def _checksum(text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGITS // 2).hexdigest().encode()


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


def _parse(path: Path, keys: frozenset[str] | None, check: Check | None) -> tuple[dict[str, Record], int]:
    """Records by key, and how many bytes of the file they take."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    records: dict[str, Record] = {}
    lines = data[:whole].split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            record = _record(line)
        except ValueError as error:
            if number == len(lines):  # torn, with blocks of the disk behind it
                return records, whole - len(line) - 1
            raise OutputError(
                f"{path}, line {number} is damaged: {error}; remove the line, and the image is done again"
            ) from error
        where = f"{path}, line {number}"
        _refuse_foreign(where, record, records, keys, check)
        records[record["key"]] = record
    return records, whole


def _record(line: bytes) -> Record:
    """What a line holds; ValueError where it is not as `_line` wrote it."""
    start = len(_HEAD) + _DIGITS
    text = line[start + len(_MIDDLE) : -1]
    if line != _HEAD + _checksum(text) + _MIDDLE + text + _TAIL:
        raise ValueError("its checksum does not fit")
    record = from_json(text)
    if not isinstance(record, dict) or not isinstance(record.get("key"), str):
        raise ValueError("it is no record of an image")
    return record


def _refuse_foreign(
    where: str, record: Record, records: dict[str, Record], keys: frozenset[str] | None, check: Check | None
) -> None:
    key, reason = record["key"], None
    if key in records:
        reason = "is recorded twice"
    elif keys is not None and key not in keys:
        reason = "is not of this run"
    elif check is not None:
        try:
            check(record)
        except (ValueError, KeyError, TypeError) as error:
            reason = f"has a record that does not fit ({type(error).__name__}: {error})"
    if reason:
        raise OutputError(f"{where}: {key!r} {reason}; remove the line, or run into a new folder")
