"""Arrays and a JSON text in one .npz file, which is read no further than its own headers allow.

A file may lie: a few kilobytes inflate to terabytes, a header announces more than follows. So the size and type of
every member are read first, held against one another and a limit, and only then is anything unpacked.
"""

import io
import math
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pnpovss.errors import InvalidInputError
from pnpovss.files.arrays import DAMAGE
from pnpovss.files.json import from_json, to_json

__all__ = ["MAX_BYTES", "archive_bytes", "read_archive"]

MAX_BYTES = 1 << 30  # unpacked: 12 megapixels of 20 names, or 50 of four

_META = "meta"
_MOST_META = 1 << 24  # of the JSON text, unpacked
_HEADER = 10_000  # of an array; the longest that NumPy reads without being told to
_PLAIN = "biufU"  # kinds of values that need no pickle
_STRAY = "allow_pickle.npy"  # which NumPy before 2.2 made of a keyword that earlier versions of this program gave it


def archive_bytes(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz file that `read_archive` and `numpy.load` read.

    Raises:
        InvalidInputError: a number in `meta` that is not finite.
    """
    file = io.BytesIO()
    members: dict[str, Any] = {**arrays, _META: np.array(to_json(meta).decode())}
    np.savez_compressed(file, **members)
    return file.getvalue()


def read_archive(
    path: Path, needed: Collection[str], optional: Collection[str] = (), *, max_bytes: int = MAX_BYTES
) -> tuple[Any, dict[str, np.ndarray]]:
    """The meta data, whatever JSON it is, and the arrays of a file.

    Args:
        path: of the file.
        needed: names of the arrays that there must be.
        optional: names of others that there may be.
        max_bytes: more than this, unpacked, is refused before anything is.

    Raises:
        InvalidInputError: no such file or not of this form, damaged, or larger than the limit.
    """
    try:
        with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
            members = _members(archive, {_META, *needed, *optional})
            if (total := sum(member.file_size for member in members.values())) > max_bytes:
                raise ValueError(f"it unpacks to {total:,} bytes, more than the limit of {max_bytes:,} (max_bytes=)")
            if missing := {_META, *needed} - set(members):
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            arrays = {name: _array(archive, member) for name, member in members.items()}
            meta = from_json(str(arrays.pop(_META)))
    except DAMAGE as error:
        raise InvalidInputError(f"{path} is no saved segmentation: {error}") from error
    return meta, arrays


def _members(archive: zipfile.ZipFile, known: Collection[str]) -> dict[str, zipfile.ZipInfo]:
    """Members by name, each known and there once; what they announce is what they can hold."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.filename == _STRAY:
            continue
        name = member.filename.removesuffix(".npy")
        if name not in known or name in members:
            raise ValueError(
                f"it holds {member.filename[:80]!r}, or holds it twice; expected {', '.join(sorted(known))}"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename} is packed in a way that NumPy does not write")
        with archive.open(member) as file:
            header = io.BytesIO(file.read(_HEADER))
        shape, dtype = _header(header)
        if dtype.kind not in _PLAIN or (name == _META and (shape or dtype.kind != "U")):
            raise ValueError(f"{member.filename} holds values of type {dtype}, shape {shape}")
        announced = header.tell() + math.prod(shape) * dtype.itemsize
        if announced != member.file_size or (name == _META and announced > _MOST_META):
            raise ValueError(f"{member.filename} announces {announced:,} bytes and has {member.file_size:,}")
        members[name] = member
    return members


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that an array's header announces."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"it holds an array of format {version}; expected 1.0 or 2.0")
    shape, _, dtype = read[version](file, max_header_size=_HEADER)
    return shape, dtype


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False, max_header_size=_HEADER)
