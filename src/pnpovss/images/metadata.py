"""Photos whose metadata keeps them from being read, without it."""

import re

from pnpovss.images.png import SIGNATURE, bare_png
from pnpovss.images.stored import Stored, content_of

__all__ = ["without_metadata"]

# The entry of an AVIF or HEIC that declares an item to be EXIF. How the photo is turned is also told outside of it.
_EXIF_ITEM = re.compile(rb"(infe.{8,10}?)Exif", re.DOTALL)


def without_metadata(stored: Stored) -> bytes | None:
    """The content of a PNG, AVIF or HEIC without metadata that may be damaged; None where there is none of it."""
    content = content_of(stored)
    if content.startswith(SIGNATURE):
        rest = bare_png(content)
    elif content[4:8] == b"ftyp":
        rest = _EXIF_ITEM.sub(rb"\1skip", content, count=1)
    else:
        return None
    return None if rest == content else rest
