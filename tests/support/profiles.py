"""Colour profiles of ICC, made by hand."""

import struct

# Primaries of Display P3, adapted to D50, as X, Y, Z.
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
_D50 = (0.9642, 1.0, 0.8249)


def rgb_profile(primaries: tuple[tuple[float, ...], ...]) -> bytes:
    """Of three primaries, with sRGB's tone curve."""
    curve = _parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    tags = {name: _xyz(primary) for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def linear_gray_profile() -> bytes:
    """Grays that are amounts of light."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": struct.pack(">4sII", b"curv", 0, 0)})


def black_ink_profile() -> bytes:
    """CMYK whose L* is 100 (1 - K), whatever the colours: a printer with black ink alone."""
    nodes = b"".join(bytes((0 if node & 1 else 255, 128, 128)) for node in range(16))  # the last channel runs fastest
    ramp = bytes(range(256))
    matrix = struct.pack(">9I", *(0x10000 * (i % 4 == 0) for i in range(9)))
    table = struct.pack(">4sI4B", b"mft1", 0, 4, 3, 2, 0) + matrix + ramp * 4 + nodes + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(_D50), **tags}
    place, directory, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        directory += name + struct.pack(">II", place + len(data), len(value))
        data += value + b"\0" * (-len(value) % 4)
    header = struct.pack(">II4s4s4s4s", place + len(data), 0, b"\x02\x40\0\0", kind, space, connection)
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">3i", *(round(v * 65536) for v in _D50))
    return header.ljust(128, b"\0") + directory + data


def _xyz(values: tuple[float, ...]) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in values))


def _parametric(*parameters: float) -> bytes:
    return struct.pack(">4sIHH5i", b"para", 0, 3, 0, *(round(value * 65536) for value in parameters))
