"""One writer at a time: a lock that the system drops with the process, so that a kill leaves nothing behind."""

import errno
import os
import sys
from pathlib import Path

from pnpovss.errors import OutputError

__all__ = ["lock"]

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


def lock(descriptor: int, path: Path) -> None:
    """Lock an open file until it is closed, or its process ends however it may.

    Args:
        descriptor: of the open file.
        path: its name, for the message.

    Raises:
        OutputError: another writer holds it, or this file system has no locks.
    """
    try:
        _take(descriptor)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            raise OutputError(
                f"{path} is being written by another process; wait for it, or name a new place"
            ) from error
        raise OutputError(f"{path} cannot be locked ({error.strerror}); use a folder on a local disk") from error
