"""The photos that go with exported labels: upright, as the labels are, and in a form that every tool reads."""

import io
import json
import re
from hashlib import sha256
from pathlib import Path

from pnpovss.batch.export.mark import MARK
from pnpovss.batch.export.run import DECISIONS, RunPhoto
from pnpovss.batch.naming import folded
from pnpovss.batch.photo_files import checksum
from pnpovss.errors import InvalidInputError
from pnpovss.files.remote import is_url, read_url
from pnpovss.images import load_image, orientation_of
from pnpovss.images.kinds import START, starts_like

__all__ = ["flat_name", "photo_file", "suffixed"]

_EVERYWHERE = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}  # formats that every tool reads, with their suffixes
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Where underscores would not show what they stand for; "#" begins comments in VOC's lists, and fragments of URLs.
_UNCLEAR = re.compile(f"^#|__|_/|/_|{_NO_TEXT.pattern}")
_RESERVED = MARK.removesuffix(".json")  # LabelMe's file on the photo would be in the place of the mark
_LONGEST = 180  # bytes; file systems take 255


def flat_name(stem: str) -> str:
    """A stem without folders, different for different stems: "a/cat" is "a__cat"; XML can hold all of it."""
    flat = re.sub("^#", "_", _NO_TEXT.sub("_", stem.replace("/", "__")))
    data, flat_data = (text.encode("utf-8", "surrogateescape") for text in (stem, flat))
    if not _UNCLEAR.search(stem) and folded(flat) != _RESERVED and len(flat_data) <= _LONGEST:
        return flat
    cut = flat_data[: _LONGEST - 9].decode("utf-8", "ignore")
    return f"{cut}-{sha256(data).hexdigest()[:8]}"


def suffixed(name: str, photo: RunPhoto) -> str:
    """A name with the suffix of the photo's own file, unless it ends with that file's whole name already."""
    return name if name.endswith(photo.name) else f"{name}{photo.suffix}"


def photo_file(photo: RunPhoto) -> tuple[str, bytes]:
    """A suffix and a content: the photo's own file where it is an upright JPEG or PNG, else the upright photo as PNG.

    What a file is, its content says; the suffix is one of that format.

    Raises:
        InvalidInputError: it is gone, or was changed since it was segmented.
        ImageError: it cannot be read.
    """
    content = _content(photo)
    if checksum(content) != photo.record["photo_sha256"]:
        raise InvalidInputError(f"{photo.photo} was changed since it was segmented; segment it again")
    suffixes = _EVERYWHERE.get(starts_like(content[:START]) or "", ())
    if suffixes and orientation_of(content, max_pixels=None).exif == 1:
        return photo.suffix.lower() if photo.suffix.lower() in suffixes else suffixes[0], content
    return ".png", _png(content)


def _content(photo: RunPhoto) -> bytes:
    try:
        return read_url(photo.photo) if is_url(photo.photo) else Path(photo.photo).read_bytes()
    except (OSError, InvalidInputError) as error:
        reason = getattr(error, "strerror", None)
        told = f"{photo.photo} cannot be read: {reason}" if reason else str(error)
        result = f"{photo.folder}/{photo.stem}"
        raise InvalidInputError(
            f"{told}; --no-photos exports labels alone, in formats that can do without. Photos that were moved are "
            "found by their content: give their new place to `pnpovss segment` with the same --out. A result that is "
            f"left of a photo that is gone, or has another result by now, is left out where {result}.* are removed, "
            f"or {photo.folder}/{DECISIONS} holds {json.dumps({photo.stem: 'drop'}, ensure_ascii=False)}"
        ) from error


def _png(content: bytes) -> bytes:
    file = io.BytesIO()
    load_image(content, max_pixels=None).save(file, "PNG")
    return file.getvalue()
