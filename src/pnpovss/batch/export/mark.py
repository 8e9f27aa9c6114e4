"""The mark of a folder that `pnpovss export` made: it may be replaced, and nothing is sought in it."""

import json

from pnpovss._version import __version__
from pnpovss.batch.folder import Folder

__all__ = ["MARK", "is_export", "mark"]

MARK = "pnpovss.json"
_KEYS = {"format", "photos", "version"}


def mark(key: str, photos: int) -> bytes:
    """The content of the mark.

    Args:
        key: of the format.
        photos: how many were exported.
    """
    return json.dumps({"format": key, "photos": photos, "version": __version__}).encode() + b"\n"


def is_export(folder: Folder) -> bool:
    """Whether a folder bears the mark, by its content: the record of a photo "pnpovss.jpg" has the same name.

    Raises:
        OutputError: a file of that name is there and cannot be read.
    """
    try:
        told = json.loads(folder.read(MARK) or b"")
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.keys() >= _KEYS and "photo" not in told
