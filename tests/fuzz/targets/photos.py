"""Photo files of every format that Pillow writes, damaged; pictures and arrays of every kind."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from pnpovss.images import load_image, orientation_of
from tests.fuzz.mutate import change_bytes, odd_value
from tests.support.photos import png, png_chunk, tiff
from tests.support.profiles import DISPLAY_P3, black_ink_profile, linear_gray_profile, rgb_profile


class Photos:
    """Files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seeds = list(_seeds(folder))

    def run(self, rng: Random, number: int) -> None:
        """One damaged file, read, and asked how it is turned."""
        suffix, content = self._seeds[number % len(self._seeds)]
        content = change_bytes(content, rng)
        if suffix == "png" and rng.random() < 0.7:
            content = _with_checksums(content)
        path = self._folder / f"photo.{suffix}"
        path.write_bytes(content)
        if rng.random() < 0.2:
            orientation_of(path)
        image = load_image(path)
        assert image.mode == "RGB"
        assert min(image.size) > 0


class Pictures:
    """PIL images with all that they may carry, and arrays."""

    def __init__(self, folder: Path) -> None:
        self._modes = sorted(Image.MODES)

    def run(self, rng: Random, number: int) -> None:
        """One of either."""
        image = load_image(_picture(rng, self._modes) if number % 2 else _array(rng))
        assert image.mode == "RGB"


def _picture(rng: Random, modes: list[str]) -> Any:
    if rng.random() < 0.05:
        return odd_value(rng)
    size = rng.choice((1, 2, 7, 40)), rng.choice((1, 3, 40))
    image = Image.new(rng.choice(modes), size)
    if rng.random() < 0.8:
        image = Image.frombytes(image.mode, size, rng.randbytes(len(image.tobytes())))
    for key in ("transparency", "icc_profile", "exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"):
        if rng.random() < 0.3:
            choices = (rng.randbytes(40), odd_value(rng), b"Exif\0\0MM\0*" + rng.randbytes(30), (1, 2, 3), 3)
            image.info[key] = rng.choice(choices)
    if rng.random() < 0.05:
        image.close()
    return image


def _array(rng: Random) -> Any:
    kinds = "? u1 i1 u2 i2 u4 i8 f2 f4 f8 g c8 S3 U2 O M8[s] V4".split()
    shape = tuple(rng.choice((0, 1, 2, 3, 4, 5, 33)) for _ in range(rng.choice((0, 1, 2, 3, 3, 3, 4))))
    array = np.zeros(shape, rng.choice(kinds))
    if array.dtype.kind in "uif" and array.size and rng.random() < 0.7:
        values = (0, 1, 0.5, 255, -1, np.nan, np.inf, -np.inf, 1e-300)
        with np.errstate(all="ignore"):
            array.flat[:] = np.array([rng.choice(values) for _ in range(array.size)]).astype(array.dtype)
    return array


def _seeds(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(suffix, content) of small photos, whole, of every format and most of its kinds."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 31, 3), np.uint8)
    rgb = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    profile = rgb_profile(DISPLAY_P3)
    film = {"save_all": True, "duration": 50}
    for suffix, mode, options in (
        ("jpg", "RGB", {"exif": exif, "icc_profile": profile}),
        ("jpg", "RGB", {"progressive": True, "comment": b"hello"}),
        ("jpg", "L", {"icc_profile": linear_gray_profile()}),
        ("jpg", "CMYK", {"icc_profile": black_ink_profile()}),
        ("mpo", "RGB", film),
        ("png", "RGB", {"exif": exif, "icc_profile": profile}),
        ("png", "P", {"transparency": b"\0\x80\xff"}),
        ("png", "LA", {}),
        ("png", "RGBA", {}),
        ("png", "I;16", {}),
        ("png", "1", {}),
        ("png", "RGB", film),
        ("gif", "P", {}),
        ("gif", "RGB", film),
        ("bmp", "RGB", {}),
        ("bmp", "P", {}),
        ("tiff", "RGB", {"exif": exif, "icc_profile": profile}),
        ("tiff", "RGB", {"compression": "tiff_lzw"}),
        ("tiff", "RGB", {"compression": "tiff_adobe_deflate"}),
        ("tiff", "RGB", {"compression": "jpeg"}),
        ("tiff", "1", {"compression": "group4"}),
        ("tiff", "L", {"compression": "packbits"}),
        ("tiff", "I;16", {}),
        ("tiff", "F", {}),
        ("tiff", "CMYK", {}),
        ("tiff", "LAB", {}),
        ("tiff", "RGB", film),
        ("webp", "RGB", {"exif": exif, "icc_profile": profile}),
        ("webp", "RGBA", {"lossless": True}),
        ("webp", "RGB", film),
        ("avif", "RGB", {"exif": exif, "icc_profile": profile}),
        ("avif", "RGBA", {}),
        ("jp2", "RGB", {}),
        ("jp2", "L", {"irreversible": True}),
        ("ppm", "RGB", {}),
        ("pgm", "L", {}),
        ("pgm", "I;16", {}),
        ("pbm", "1", {}),
        ("tga", "RGB", {"compression": "tga_rle"}),
        ("tga", "P", {}),
    ):
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else None
        image = Image.fromarray(pixels[..., 0].astype(np.float32) / 255) if mode == "F" else image
        image = Image.new("LAB", rgb.size, (120, 128, 128)) if mode == "LAB" else image
        file = io.BytesIO()
        if options is film:  # new ones each time: Pillow leaves settings of a format in the pictures
            options = {**film, "append_images": [rgb.rotate(180), rgb.rotate(180)]}
        (image or rgb.convert(mode).copy()).save(file, Image.registered_extensions()[f".{suffix}"], **options)
        yield suffix, file.getvalue()
    yield "heic", _heic(rgb, exif)
    chunks = png_chunk(b"sBIT", b"\x0c") + png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(2 << 20)))
    yield "png", png(folder / "seed", pixels[..., 0].astype(np.uint16) * 16, chunks).read_bytes()
    yield "tif", tiff(folder / "seed", 4, 1, bytes(6), t258=(12,), t281=(4095,)).read_bytes()
    large = _large()
    yield from (("png", large), ("png", large))


def _heic(image: Image.Image, exif: Image.Exif) -> bytes:
    try:
        import pillow_heif
    except ImportError:  # the extra is not there; the door is to say so
        return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, exif=exif.tobytes())
    return file.getvalue()


def _large() -> bytes:
    """Flat, of 49 megapixels."""
    file = io.BytesIO()
    Image.new("P", (7000, 7000)).save(file, "PNG", transparency=3)
    return file.getvalue()


def _with_checksums(content: bytes) -> bytes:
    """A PNG whose damaged chunks pass for whole ones."""
    fixed, at = bytearray(content), 8
    while at + 12 <= len(fixed):
        [length] = struct.unpack_from(">I", fixed, at)
        end = at + 8 + length
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)
