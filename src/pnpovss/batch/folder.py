"""The output folder, checked before any work."""

import tempfile
from pathlib import Path

from pnpovss.errors import OutputError

__all__ = ["open_folder"]


def open_folder(path: Path) -> None:
    """Make the output folder if it is not there.

    Raises:
        OutputError: it cannot be made, or nothing may be written in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):  # asks the system; permissions alone do not tell of read-only disks
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        reason = "it is a file" if isinstance(error, FileExistsError | NotADirectoryError) else reason
        raise OutputError(f"cannot write into the folder {path}: {reason}; choose another with --out") from error
