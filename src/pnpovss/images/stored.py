"""Where an encoded photo is: in a file, or in memory as a file's content."""

import io
from pathlib import Path
from typing import IO

from pnpovss.printable import printable

__all__ = ["Stored", "content_of", "opened", "shown"]

Stored = Path | bytes


def opened(stored: Stored) -> IO[bytes]:
    """To read it from its start."""
    return io.BytesIO(stored) if isinstance(stored, bytes) else stored.open("rb")


def content_of(stored: Stored) -> bytes:
    """All of it."""
    return stored if isinstance(stored, bytes) else stored.read_bytes()


def shown(stored: Stored) -> str:
    """What messages call it; a path as it may be printed."""
    return "the photo" if isinstance(stored, bytes) else printable(str(stored))
