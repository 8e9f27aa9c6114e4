"""What Pillow does not give of a PNG: the bits that count, and the photo without its metadata."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import IO

__all__ = ["SIGNATURE", "bare_png", "significant_bits"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What makes the pixels: header, palette, data, end; transparency; frames of animations.
_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"}
_WORTH_KEEPING = {b"eXIf", b"iCCP", b"sBIT"}
_MOST = 1 << 20  # bytes of a colour profile; Pillow refuses more


def significant_bits(file: IO[bytes]) -> int | None:
    """Bits per sample that the original had, as the chunk sBIT tells; the most of its colours."""
    for kind, start, length in _chunks(file):
        if kind == b"IDAT":
            break
        if kind == b"sBIT":
            data = _whole(file, kind, start, length)
            return max(data[: 3 if length > 2 else 1], default=None) if data else None
    return None


def bare_png(content: bytes) -> bytes:
    """A PNG without its metadata, but for what is whole and tells of orientation, colours and depth."""
    file, kept = io.BytesIO(content), [SIGNATURE]
    for kind, start, length in _chunks(file):
        if kind in _PIXELS or (kind in _WORTH_KEEPING and _usable(_whole(file, kind, start, length), kind)):
            kept.append(content[start - 8 : start + length + 4])
    return b"".join(kept)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """(kind, where its data starts, bytes of data) of each chunk."""
    place = len(SIGNATURE)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield kind, place + 8, length
        place += length + 12


def _whole(file: IO[bytes], kind: bytes, start: int, length: int) -> bytes | None:
    """The data of a chunk; None where its checksum does not fit."""
    file.seek(start)
    data, check = file.read(length), file.read(4)
    return data if struct.pack(">I", zlib.crc32(kind + data)) == check else None


def _usable(data: bytes | None, kind: bytes) -> bool:
    if data is None or kind != b"iCCP":
        return data is not None
    packed = data.partition(b"\0")[2][1:]
    try:
        return len(zlib.decompressobj().decompress(packed, _MOST + 1)) <= _MOST
    except zlib.error:
        return False
