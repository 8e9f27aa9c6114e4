"""PNGs of grays with few bits, which Pillow reads and does not write."""

import struct
import zlib
from pathlib import Path

import numpy as np

from pnpovss.images.png import SIGNATURE


def gray_png(path: Path, values: np.ndarray, bits: int) -> None:
    """Write values below 2^bits as grays of 1, 2 or 4 bits."""
    height, width = values.shape
    flat = (values[..., None].astype(np.uint8) >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(flat.reshape(height, -1), axis=1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)) for kind, part in parts
    )
    path.write_bytes(SIGNATURE + b"".join(chunks))
