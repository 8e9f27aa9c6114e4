"""The files of one photo: all there and of one run, or none of them, whatever happens while they are written.

The record (NAME.json) names the other files with their checksums. It is taken away before any of them changes and put
back last, so a record that is there stands for a complete set. Who writes holds a claim: a hidden file, locked as long
as the process lives, that lists what may be there before the first file appears. A claim that nobody holds was left by
a killed process: where its record is missing, what it lists is removed.

Beside the set there may be a note (NAME.failed) on why the photo could not be segmented; a new set takes it away.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from pnpovss.errors import OutputError
from pnpovss.files.lock import lock

__all__ = ["FAILURE", "RECORD", "FileSet", "checksum", "claimed", "read_failure", "read_record"]

RECORD = ".json"  # what follows the stem in the name of the record
FAILURE = ".failed"  # in that of the note of a failure; no file of a set ends so
_OURS = "pnpovss/"  # how the format of every record begins
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def checksum(content: bytes) -> str:
    """As records hold it: SHA-256 in hexadecimal digits."""
    return sha256(content).hexdigest()


def read_record(path: Path) -> dict[str, Any] | None:
    """A record that this program wrote; None where there is none."""
    try:
        record = json.loads(path.read_bytes())
        return record if str(record["format"]).startswith(_OURS) and record["photo"] and record["files"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_failure(path: Path) -> dict[str, Any] | None:
    """The note of a failure that this program wrote; None where there is none."""
    try:
        note = json.loads(path.read_bytes())
        return note if str(note["format"]).startswith(_OURS) and note["photo"] and note["error"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


class FileSet:
    """The files of one photo, as they are and as they are to be; made by `claimed`.

    Attributes:
        folder: they lie in it.
        name: what their names begin with.
        record: the record that is there, of a complete set; None without one.
    """

    def __init__(self, target: Path, claim: int) -> None:
        self.folder, self.name = target.parent, target.name
        self._target = target.parent / f"{target.name}{RECORD}"
        self._failure = target.parent / f"{target.name}{FAILURE}"
        self._claim = claim
        self._parts: list[Path] = []
        self.record = read_record(self._target)

    def is_complete(self) -> bool:
        """Whether a record is there, and each file that it names."""
        return self.record is not None and all((self.folder / file["file"]).exists() for file in self.record["files"])

    def refuse_foreign(self, suffixes: Iterable[str], photo: str) -> None:
        """Refuse to replace what was made from another photo, what others made, and what was changed by hand.

        Args:
            suffixes: of all files that may be written.
            photo: the path of the photo at hand, as records hold it.

        Raises:
            OutputError: some file is there and may not be replaced.
        """
        paths = [*(self.folder / f"{self.name}{suffix}" for suffix in suffixes), self._target]
        there = [path for path in paths if path.exists()]
        way_out = "choose another --out, or replace it with --overwrite"
        if there and (self.record is None or self.record["photo"] != photo):
            whose = f"made from {self.record['photo']}" if self.record else "not made by this program"
            raise OutputError(f"{there[0]} exists and was {whose}; {way_out}")
        for file in self.record["files"] if self.record else ():
            path = self.folder / file["file"]
            if path in there and not _is_unchanged(path, file["sha256"]):
                raise OutputError(f"{path} was changed since it was made; {way_out}")

    def replace(self, contents: Mapping[str, bytes], record: bytes) -> None:
        """Put a new set in the place of whatever is there.

        Args:
            contents: of the files, by what follows the photo's name in theirs.
            record: the record, which names all of them.

        Raises:
            OutputError: no permission, no space left, or whatever else the system says.
        """
        paths = [self.folder / f"{self.name}{suffix}" for suffix in contents]
        stale = self._own_files() - {*paths, self._target}
        try:
            self._announce([])
            for path, content in zip([*paths, self._target], [*contents.values(), record], strict=True):
                self._stage(path, content)
            self._exchange(paths, stale)
        except OSError as error:
            raise error if isinstance(error, OutputError) else _cannot_write(self._target, error) from error
        finally:
            self._unstage()

    @property
    def failure(self) -> dict[str, Any] | None:
        """The note of a failure that is there."""
        return read_failure(self._failure)

    def note_failure(self, note: bytes) -> None:
        """Write down why the photo could not be segmented; the set, and a file of that name that is not ours, stay.

        Raises:
            OutputError: as `replace`.
        """
        if self._failure.exists() and not self.failure:
            return
        try:
            self._announce([])
            self._stage(self._failure, note)
            self._parts[-1].replace(self._failure)
        except OSError as error:
            raise error if isinstance(error, OutputError) else _cannot_write(self._failure, error) from error
        finally:
            self._unstage()

    def _unstage(self) -> None:
        for part in self._parts:
            part.unlink(missing_ok=True)
        self._parts.clear()

    def _exchange(self, paths: Sequence[Path], stale: Iterable[Path]) -> None:
        """The record goes, files come, those of the old set that have no successor go, the new record comes."""
        self._announce([*paths, *stale])
        self._target.unlink(missing_ok=True)
        try:
            for part, path in zip(self._parts[:-1], paths, strict=True):
                part.replace(path)
            for path in stale:
                path.unlink(missing_ok=True)
            if self.failure:
                self._failure.unlink(missing_ok=True)
            self._parts[-1].replace(self._target)
        except OSError:
            _roll_back(paths)
            raise

    def _own_files(self) -> set[Path]:
        """Files of the set that is there, except what was changed since."""
        files = self.record["files"] if self.record else ()
        named = {self.folder / file["file"]: file["sha256"] for file in files}
        return {path for path, digest in named.items() if _is_unchanged(path, digest)}

    def _stage(self, path: Path, content: bytes) -> None:
        """Write a file under a hidden name that a later process finds, through to the disk."""
        part = self.folder / f"{_hidden(self.name)}.{len(self._parts)}.part"
        self._parts.append(part)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINK, 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _announce(self, paths: Iterable[Path]) -> None:
        """Write into the claim what may be there from now on, until the record is; never less than before."""
        text = json.dumps(sorted(path.name for path in paths)).encode()
        os.lseek(self._claim, 0, os.SEEK_SET)
        if os.write(self._claim, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def claimed(out: Path, stem: str) -> Iterator[FileSet]:
    """The files of one photo, with every other process kept off them while the block runs.

    Args:
        out: the output folder.
        stem: of the photo's files, below it.

    Raises:
        OutputError: another process is at work on them, or nothing can be written there.
    """
    target = out / stem
    claim = target.parent / f"{_hidden(target.name)}.claim"
    try:
        descriptor = _open_claim(claim, target)
    except OSError as error:
        raise error if isinstance(error, OutputError) else _cannot_write(target, error) from error
    try:
        _clean_up(descriptor, target)
        yield FileSet(target, descriptor)
    finally:
        with suppress(OSError):
            claim.unlink(missing_ok=True)
        os.close(descriptor)


def _open_claim(claim: Path, target: Path) -> int:
    """The locked claim; one that its owner removed in between is made anew."""
    while True:
        claim.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(claim, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
        try:
            lock(descriptor, target)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _clean_up(claim: int, target: Path) -> None:
    """Remove what a killed process left, unless it came as far as the record."""
    told = os.read(claim, os.fstat(claim).st_size)
    if not told:
        return
    try:
        left = json.loads(told)
    except ValueError:  # killed while it wrote the list, and so before anything appeared
        left = []
    os.ftruncate(claim, 0)
    for part in target.parent.glob(f"{_hidden(target.name)}.*.part"):
        part.unlink(missing_ok=True)
    if left and not (target.parent / f"{target.name}{RECORD}").exists():
        _roll_back(target.parent / name for name in left)


def _roll_back(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _is_unchanged(path: Path, digest: str) -> bool:
    try:
        return checksum(path.read_bytes()) == digest
    except OSError:
        return False


def _hidden(name: str) -> str:
    """What the names of a photo's hidden files begin with."""
    return f".pnpovss-{checksum(os.fsencode(name))[:16]}"


def _cannot_write(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {path}: {reason}; check the folder, its permissions and its space")
