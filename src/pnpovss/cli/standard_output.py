"""A standard output that may fail without ending the work: files are written whether or not anybody can read along."""

import errno
import os
from typing import Any, TextIO

__all__ = ["Enduring"]


class Enduring:
    """Passes text on to a stream until that fails, and drops what follows.

    Attributes:
        error: what the system said when it failed; None while all is well.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    @property
    def is_closed_pipe(self) -> bool:
        """Whether the reader went away, as `head` does; that is nobody's fault."""
        return self.error is not None and self.error.errno in (errno.EPIPE, errno.EINVAL)

    def write(self, text: str) -> int:
        """Write, or drop, text."""
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what is buffered, if the stream still takes it."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        nowhere = os.open(os.devnull, os.O_WRONLY)  # what is still buffered would fail again when Python ends
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
