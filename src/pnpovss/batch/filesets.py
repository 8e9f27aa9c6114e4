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
from pathlib import Path

from pnpovss.batch.events import Task
from pnpovss.batch.outputs import output_files
from pnpovss.batch.photo_files import FAILURE, RECORD, PhotoFiles, checksum, parse_record
from pnpovss.batch.remote_files import claimed_remotely
from pnpovss.errors import OutputError
from pnpovss.files.lock import lock
from pnpovss.files.remote import is_url
from pnpovss.names import Name

__all__ = ["FileSet", "claimed", "paths_of"]

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def paths_of(out: Path, tasks: Iterable[Task], kinds: Sequence[str], names: Sequence[Name]) -> Iterator[Path]:
    """Every file that a run may write for its photos.

    Args:
        out: the folder that results go to.
        tasks: the photos.
        kinds: of files, of `outputs.OUTPUTS`.
        names: what is looked for, in photos that have no names of their own.
    """
    for task in tasks:
        suffixes = (file.suffix for file in output_files(kinds, task.names or names))
        yield from (out / f"{task.stem}{suffix}" for suffix in (RECORD, FAILURE, *suffixes))


class FileSet(PhotoFiles):
    """The files of one photo on a disk; made by `claimed`.

    Attributes:
        folder: they lie in it.
    """

    def __init__(self, target: Path, claim: int) -> None:
        self.folder, self.name = target.parent, target.name
        self._target = target.parent / f"{target.name}{RECORD}"
        self._claim = claim
        self._parts: list[Path] = []
        self.record = parse_record(self.read(self._target.name))

    def read(self, name: str) -> bytes | None:
        """See `PhotoFiles`."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def exists(self, name: str) -> bool:
        """See `PhotoFiles`."""
        return (self.folder / name).exists()

    def shown(self, name: str) -> str:
        """See `PhotoFiles`."""
        return str(self.folder / name)

    def replace(self, contents: Mapping[str, bytes], record: bytes) -> None:
        """See `PhotoFiles`."""
        paths = [self.folder / f"{self.name}{suffix}" for suffix in contents]
        stale = {self.folder / name for name in self.own_files()} - set(paths)
        try:
            self._announce([])
            for path, content in zip([*paths, self._target], [*contents.values(), record], strict=True):
                self._stage(path, content)
            self._exchange(paths, stale)
        except OSError as error:
            raise error if isinstance(error, OutputError) else _cannot_write(self._target, error) from error
        finally:
            self._unstage()

    def put_note(self, note: bytes) -> None:
        """See `PhotoFiles`."""
        self._put(self.folder / f"{self.name}{FAILURE}", note)

    def put_record(self, record: bytes) -> None:
        """See `PhotoFiles`."""
        self._put(self._target, record)

    def remove(self, name: str) -> None:
        """See `PhotoFiles`."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.folder / name, error) from error

    def _put(self, path: Path, content: bytes) -> None:
        try:
            self._announce([])
            self._stage(path, content)
            self._parts[-1].replace(path)
        except OSError as error:
            raise error if isinstance(error, OutputError) else _cannot_write(path, error) from error
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
            self.forget_failure()
            self._parts[-1].replace(self._target)
        except OSError:
            _roll_back(paths)
            raise

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
def claimed(out: Path | str, stem: str) -> Iterator[PhotoFiles]:
    """The files of one photo, with every other process kept off them while the block runs.

    Args:
        out: the output folder, or its URL; there are no locks behind URLs.
        stem: of the photo's files, below it.

    Raises:
        OutputError: another process is at work on them, or nothing can be written there.
    """
    if is_url(out):
        with claimed_remotely(str(out), stem) as files:
            yield files
        return
    target = Path(out, stem)
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


def _hidden(name: str) -> str:
    """What the names of a photo's hidden files begin with."""
    return f".pnpovss-{checksum(os.fsencode(name))[:16]}"


def _cannot_write(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {path}: {reason}; check the folder, its permissions and its space")
