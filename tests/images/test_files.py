"""Files: odd metadata costs no pixels, what is not read is named with what to do."""

import io
import logging
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from pnpovss.errors import ImageError, MissingExtraError, ResourceError
from pnpovss.images import PHOTO_SUFFIXES, load_image, orientation_of
from tests.support.photos import blank_png, png, png_chunk, tiff

GRAY = np.array([[10, 20], [30, 40]], np.uint8)


def zipped_text(size: int) -> bytes:
    return png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(size)))


def profile(size: int) -> bytes:
    return png_chunk(b"iCCP", b"printer\0\0" + zlib.compress(bytes(size)))


def broken(kind: bytes, data: bytes) -> bytes:
    return png_chunk(kind, data)[:-4] + b"\0\0\0\0"


@pytest.mark.parametrize(
    "chunk",
    [
        zipped_text(3 << 20),
        profile(3 << 20),
        broken(b"tEXt", b"comment\0hello"),
        broken(b"eXIf", b"MM\0*"),
        broken(b"pHYs", bytes(9)),
        png_chunk(b"pHYs", b"short"),
    ],
    ids=[
        "text over 1 MiB",
        "profile over 1 MiB",
        "text's checksum",
        "EXIF's checksum",
        "size's checksum",
        "short size",
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_png_with_odd_metadata_gives_its_pixels(
    tmp_path: Path, chunk: bytes, place: str, caplog: pytest.LogCaptureFixture
):
    path = png(tmp_path / "photo.png", GRAY, **{place: chunk})
    with caplog.at_level(logging.WARNING):
        assert np.asarray(load_image(path))[..., 0].tolist() == GRAY.tolist()
    if place == "before":
        assert "photo.png has metadata that is damaged or too large" in caplog.text


def test_what_tells_of_the_pixels_outlives_damaged_metadata(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 3
    chunks = broken(b"tEXt", b"comment\0hello") + png_chunk(b"eXIf", exif.tobytes()[6:])
    path = png(tmp_path / "photo.png", GRAY, chunks + png_chunk(b"tRNS", b"\0\x0a"))
    assert np.asarray(load_image(path))[..., 0].tolist() == [[40, 30], [20, 255]]


def test_damaged_pixels_stay_damaged(tmp_path: Path):
    path = png(tmp_path / "photo.png", GRAY, broken(b"tEXt", b"comment\0hello"))
    content = path.read_bytes()
    at = content.index(b"IDAT") + 8
    path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    with pytest.raises(ImageError, match="damaged or incomplete"):
        load_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_an_exif_rational_below_0(tmp_path: Path, suffix: str):
    """Written by cameras into fields without a sign; turning a photo used to write its EXIF anew, and to fail."""
    exif, path = Image.Exif(), tmp_path / f"photo.{suffix}"
    exif[0x0112], exif[0x011A] = 3, 71.0
    Image.fromarray(np.repeat(np.repeat(GRAY, 16, 0), 16, 1)).convert("RGB").save(path, exif=exif)
    order = ">" if b"\x01\x1a\0\x05" in path.read_bytes() else "<"
    signed = path.read_bytes().replace(struct.pack(order + "HH", 0x011A, 5), struct.pack(order + "HH", 0x011A, 10))
    path.write_bytes(signed.replace(struct.pack(order + "ii", 71, 1), struct.pack(order + "ii", -71, 1)))
    if suffix == "png":  # its checksum has to fit again
        content, at = path.read_bytes(), path.read_bytes().index(b"eXIf")
        [size] = struct.unpack(">I", content[at - 4 : at])
        chunk = png_chunk(b"eXIf", content[at + 4 : at + 4 + size])
        path.write_bytes(content[: at - 4] + chunk + content[at + 8 + size :])
    assert struct.pack(order + "ii", -71, 1) in path.read_bytes()
    assert orientation_of(path).exif == 3
    turned = np.asarray(load_image(path))[8::16, 8::16, 0].astype(int)
    assert np.abs(turned - [[40, 30], [20, 10]]).max() <= 4


def test_exif_that_cannot_be_read_counts_as_upright(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = png(tmp_path / "photo.png", GRAY, png_chunk(b"eXIf", b"no EXIF at all"))
    with caplog.at_level(logging.WARNING):
        assert np.asarray(load_image(path))[..., 0].tolist() == GRAY.tolist()
    assert "photo.png: its EXIF cannot be read" in caplog.text


@pytest.mark.parametrize("suffix", ["avif", "heic", "jp2"])
def test_damage_is_our_own_error(tmp_path: Path, suffix: str):
    rng = np.random.default_rng(0)
    path = tmp_path / f"photo.{suffix}"
    if suffix == "heic":
        pytest.importorskip("pillow_heif").from_pillow(Image.new("RGB", (64, 64), "red")).save(path)
    else:
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    good = path.read_bytes()
    for start in range(len(good) // 3, len(good) - 8, len(good) // 40):
        path.write_bytes(good[:start] + rng.bytes(8) + good[start + 8 :])
        try:
            load_image(path)
        except ImageError:
            continue
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ImageError, match="photo"):
        load_image(path)


def test_heic_is_read_with_its_extra(tmp_path: Path):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (64, 32), "blue")
    image.paste("red", (0, 0, 32, 32))
    path = tmp_path / "IMG_1.HEIC"
    heif.from_pillow(image).save(path, quality=90, exif=exif.tobytes())
    pixels = np.asarray(load_image(path)).astype(int)
    assert pixels.shape == (64, 32, 3)
    assert np.abs(pixels[8, 16] - (255, 0, 0)).max() < 12
    assert np.abs(pixels[56, 16] - (0, 0, 255)).max() < 12
    assert "HEIF" not in Image.OPEN, "Pillow is everybody's"


def test_heic_without_its_extra_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(MissingExtraError, match=r"IMG_1.HEIC is a HEIC photo; .*pip install 'pnpovss\[heif\]'"):
        load_image(tmp_path / "IMG_1.HEIC")
    assert {".heic", ".heif", ".jxl"} <= PHOTO_SUFFIXES


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"\xff\x0a" + bytes(30), "a JPEG XL photo, which is not read; convert it to PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL photo, which is not read; convert it to PNG"),
        (b"PK\x03\x04" + bytes(30), "it is a ZIP archive; give a JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "is damaged or incomplete .*header of a PNG photo"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "is damaged or incomplete .*header of a JPEG photo"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, start: bytes, says: str):
    (tmp_path / "photo.jpg").write_bytes(start)
    with pytest.raises(ImageError, match=says):
        load_image(tmp_path / "photo.jpg")


def test_a_tiff_of_an_unknown_kind_is_described(tmp_path: Path):
    path = tiff(tmp_path / "odd.tif", 2, 2, bytes(40), t258=(24, 24), t277=(2,), t262=(8,))
    with pytest.raises(ImageError, match=r"is a TIFF of a kind that is not read \(bits 24, 24; channels 2.*; save it"):
        load_image(path)


def test_raw_files_with_a_preview_are_refused(tmp_path: Path):
    path = tiff(tmp_path / "photo.dng", 2, 2, bytes(4), t254=(1,))
    with pytest.raises(ImageError, match="holds a preview before the photo itself"):
        load_image(path)


def test_pages_of_a_tiff(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    pages = [Image.new("L", (2, 2), level) for level in (10, 20)]
    pages[0].save(tmp_path / "fax.tiff", save_all=True, append_images=pages[1:])
    with caplog.at_level(logging.WARNING):
        assert (np.asarray(load_image(tmp_path / "fax.tiff")) == 10).all()
    assert "fax.tiff holds several pictures; only the first is used" in caplog.text


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_stored_pixels_is_turned_as_the_photo(tmp_path: Path, suffix: str, orientation: int):
    stored = Image.fromarray(np.kron(np.array([[10, 60, 110], [160, 210, 250]], np.uint8), np.ones((16, 16), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    stored.convert("RGB").save(path, exif=exif, quality=100)
    found = orientation_of(path)
    assert (found.exif, found.stored) == (orientation, (48, 32))
    photo = load_image(path)
    assert photo.size == found.upright
    turned = np.asarray(found.turn(stored)).astype(int)
    assert np.abs(np.asarray(photo)[8::16, 8::16, 1] - turned[8::16, 8::16]).max() <= 6
    with Image.open(path) as image:
        assert orientation_of(image) == found


def test_orientation_of_arrays():
    assert orientation_of(np.zeros((2, 5, 3), np.uint8)).upright == (5, 2)


def test_a_jpeg_that_goes_over_its_pixels_for_ever_is_refused(tmp_path: Path):
    """200 KB of 49 megapixels that would take minutes: its last scan, again and again."""
    file = io.BytesIO()
    Image.new("L", (7000, 7000), 100).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    scan = content[content.rfind(b"\xff\xc4") : -2]
    (tmp_path / "photo.jpg").write_bytes(content[:-2] + scan * 1000 + b"\xff\xd9")
    with pytest.raises(ImageError, match=r"goes over its 49,000,000 pixels 1,006 times, as no photo does"):
        load_image(tmp_path / "photo.jpg")
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "JPEG", progressive=True)
    content = file.getvalue()
    (tmp_path / "small.jpg").write_bytes(content[:-2] + content[content.rfind(b"\xff\xc4") : -2] * 50 + b"\xff\xd9")
    assert np.abs(np.asarray(load_image(tmp_path / "small.jpg"))[8, 8].astype(int) - (255, 0, 0)).max() < 6


@pytest.mark.parametrize("kind", ["flat", "transparent", "profile"])
def test_memory_for_a_large_photo(tmp_path: Path, kind: str):
    """49 megapixels in some 100 KB, well within the limit: the photo takes 4 bytes a pixel, its making as many."""
    if kind == "flat":
        path = blank_png(tmp_path / "large.png", 7000, 7000)
    else:
        path = tmp_path / "large.png"
        image = Image.new("P", (7000, 7000))
        image.putpalette([200, 100, 50, 0, 0, 0])
        from tests.support.profiles import DISPLAY_P3, rgb_profile

        extra = {"icc_profile": rgb_profile(DISPLAY_P3)} if kind == "profile" else {"transparency": b"\x80\xff"}
        image.save(path, **extra)
    program = (
        "import re, sys; from pnpovss.images import load_image; peak = lambda: "
        "int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]); before = peak(); "
        "photo = load_image(sys.argv[1]); print((peak() - before) * 1024 / photo.width / photo.height)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 8


def test_no_memory_for_a_photo_is_not_its_fault(tmp_path: Path):
    program = (
        "import resource, sys; from pnpovss.images import load_image; "
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_AS, (now + (32 << 20),) * 2); load_image(sys.argv[1])"
    )
    path = blank_png(tmp_path / "large.png", 7000, 7000)
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, env=os.environ)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("pnpovss.errors.ResourceError"), done.stderr
    assert "large.png does not fit in memory (7,000 x 7,000 pixels); free memory (on the command line: fewer" in last


def test_codecs_that_tell_of_memory_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(image: ImageFile.ImageFile):
        raise OSError("out of memory error when reading image file")

    monkeypatch.setattr(ImageFile.ImageFile, "load", full)
    with pytest.raises(ResourceError, match="does not fit in memory"):
        load_image(png(tmp_path / "photo.png", GRAY))
