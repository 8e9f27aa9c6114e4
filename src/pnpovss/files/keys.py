"""What a file calls a photo, and where that photo lies, brought into one form, whatever machine wrote either."""

import unicodedata
from pathlib import PurePosixPath

__all__ = ["photo_key"]


def photo_key(text: str) -> str:
    """A path or key in one form: / between folders, composed Unicode (macOS decomposes file names), no leading ./."""
    return str(PurePosixPath(unicodedata.normalize("NFC", text.replace("\\", "/"))))
