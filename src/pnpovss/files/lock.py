"""One writer at a time: a lock that the system drops with the process, so that a kill leaves nothing behind."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pnpovss.errors import OutputError

__all__ = ["lock", "locked"]

_PAUSE = 0.01  # seconds between tries of one who waits

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 40  # past the end of any file: Windows' locks forbid others to read what is locked

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock(descriptor: int, path: Path, *, patience: float = 0) -> None:
    """Lock an open file until it is closed, or its process ends however it may.

    Args:
        descriptor: of the open file.
        path: its name, for the message.
        patience: seconds that another process may take to give it up.

    Raises:
        OutputError: another writer holds it, or this file system has no locks.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            _take(descriptor)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
                raise OutputError(
                    f"{path} cannot be locked ({error.strerror}); use a folder on a local disk"
                ) from error
            if time.monotonic() >= deadline:
                raise OutputError(
                    f"{path} is being written by another process; wait for it, or name a new place"
                ) from error
        time.sleep(_PAUSE)


@contextmanager
def locked(path: Path, *, patience: float = 0) -> Iterator[None]:
    """Hold the lock of a file that is there for nothing else, and is made if it is not there.

    Raises:
        OutputError: the file cannot be made; and see `lock`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    try:
        lock(descriptor, path, patience=patience)
        yield
    finally:
        os.close(descriptor)
