"""The output folder, on a disk or behind a URL; checked before any work."""

import secrets
import tempfile
from pathlib import Path

from pnpovss.errors import OutputError
from pnpovss.files.local import LocalFolder
from pnpovss.files.remote import RemoteFolder, is_url

__all__ = ["Folder", "folder_at", "open_folder"]

Folder = LocalFolder | RemoteFolder


def folder_at(place: Path | str) -> Folder:
    """The folder at a path or a URL."""
    return RemoteFolder(str(place)) if is_url(place) else LocalFolder(Path(place))


def open_folder(path: Path | str, instead: str = "choose another with --out") -> None:
    """Make the output folder if it is not there.

    Args:
        path: of the folder, or its URL.
        instead: what to do where nothing can be written into it.

    Raises:
        OutputError: it cannot be made, or nothing may be written in it.
        InvalidInputError: a URL of an unknown protocol.
        MissingExtraError: a URL, without the package that reads it.
    """
    if isinstance(path, str):
        folder, trial = RemoteFolder(path), f".pnpovss-{secrets.token_hex(8)}.part"
        folder.put(trial, b"")
        folder.remove(trial)
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):  # asks the system; permissions alone do not tell of read-only disks
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        reason = "it is a file" if isinstance(error, FileExistsError | NotADirectoryError) else reason
        raise OutputError(f"cannot write into the folder {path}: {reason}; {instead}") from error
