"""Photo files made by hand, with what Pillow would not write."""

import struct
import zlib
from pathlib import Path

import numpy as np

_PNG = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def blank_png(path: Path, width: int, height: int) -> Path:
    """A valid PNG of any size in a few bytes a row of memory: 1 bit a pixel, all 0, compressed as it is made."""
    row, packer = bytes(1 + (width + 7) // 8), zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(_PNG + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b""))
    return path


def png(path: Path, samples: np.ndarray, before: bytes = b"", after: bytes = b"") -> Path:
    """A PNG of 8 or 16 bits.

    Args:
        path: where to write it.
        samples: uint8 or uint16, "h w" for gray or "h w 3" for RGB.
        before: chunks between header and pixels.
        after: chunks between pixels and end.
    """
    height, width = samples.shape[:2]
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    depth, colour = samples.dtype.itemsize * 8, 2 if samples.ndim == 3 else 0
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    path.write_bytes(_PNG + header + before + png_chunk(b"IDAT", body) + after + png_chunk(b"IEND", b""))
    return path


def tiff(path: Path, width: int, height: int, pixels: bytes, **tags: tuple[int, ...]) -> Path:
    """A little-endian TIFF of one uncompressed strip.

    Args:
        path: where to write it.
        width: in pixels.
        height: in pixels.
        pixels: the samples, packed.
        tags: more tags by number, as `t262=(1,)`; each value is a SHORT.
    """
    entries = {256: (width,), 257: (height,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (height,)}
    entries |= {273: (8,), 279: (len(pixels),)} | {int(name[1:]): values for name, values in tags.items()}
    start = 8 + len(pixels) + len(pixels) % 2
    extra_at = start + 2 + 12 * len(entries) + 4
    directory, extra = struct.pack("<H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"<{len(values)}H", *values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", extra_at + len(extra)), extra + packed
        directory += struct.pack("<HHI", tag, 3, len(values)) + packed.ljust(4, b"\0")
    body = pixels + b"\0" * (len(pixels) % 2) + directory + b"\0\0\0\0" + extra
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + body)
    return path
