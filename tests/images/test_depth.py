"""Samples of more than 8 bits: right where the file tells which value is white, refused where it cannot be known."""

import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.errors import ImageError
from pnpovss.images import load_image
from tests.support.photos import png, png_chunk, tiff


def grays(path: Path) -> list[int]:
    return np.asarray(load_image(path))[0, :, 1].tolist()


@pytest.mark.parametrize(("bits", "factor"), [(8, 256), (10, 64), (12, 16)])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_a_camera_s_bits_in_a_16_bit_file_are_refused(tmp_path: Path, bits: int, factor: int, suffix: str):
    white = (1 << bits) - 1
    path = tmp_path / f"camera.{suffix}"
    Image.fromarray(np.array([[0, white // 2, white]], np.uint16)).save(path)
    with pytest.raises(ImageError, match=rf"none above {white:,} of 65,535.*\({bits} bits\), multiply.* by {factor},"):
        load_image(path)
    with pytest.raises(ImageError, match=rf"samples / {white}"):
        load_image(Image.fromarray(np.array([[0, white]], np.uint16)))


def test_an_array_of_floats_is_the_way_out():
    camera = np.array([[0, 1023, 512]], np.uint16)
    assert np.asarray(load_image(camera / 1023))[0, :, 0].tolist() == [0, 255, 128]


def test_colours_of_12_bits_are_refused(tmp_path: Path):
    """Pillow keeps the upper 8 bits of 16-bit colours: hardly anything of these."""
    with pytest.raises(ImageError, match=r"12 bits\), multiply its samples by 16"):
        load_image(png(tmp_path / "camera.png", np.full((2, 2, 3), 4000, np.uint16)))
    deep = png(tmp_path / "deep.png", np.array([[[65535, 0x8000, 0]]], np.uint16))
    assert np.asarray(load_image(deep)).tolist() == [[[255, 128, 0]]]


def test_14_bits_are_dark_and_said_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = png(tmp_path / "camera.png", np.array([[0, 16383]], np.uint16))
    with caplog.at_level(logging.WARNING):
        assert grays(path) == [0, 63]
    assert "camera.png is dark: its samples of 16 bits reach 16,383 of 65,535" in caplog.text


def test_black_is_black(tmp_path: Path):
    assert grays(png(tmp_path / "black.png", np.zeros((1, 2), np.uint16))) == [0, 0]


def test_png_tells_its_significant_bits(tmp_path: Path):
    twelve = png_chunk(b"sBIT", b"\x0c")
    assert grays(png(tmp_path / "raw.png", np.array([[0, 4095, 2048]], np.uint16), twelve)) == [0, 255, 128]
    scaled = np.array([[0, 4095 * 16 + 15, 2048 * 16 + 8]], np.uint16)
    assert grays(png(tmp_path / "standard.png", scaled, twelve)) == [0, 255, 128]
    night = np.array([[0, 16, 32]], np.uint16)  # 0, 1, 2 of 4095, scaled as the standard wants: black all over
    assert grays(png(tmp_path / "night.png", night, twelve)) == [0, 0, 0]


def test_tiff_tells_its_bits_and_its_brightest_value(tmp_path: Path):
    packed = bytes([0xFF, 0xF0, 0x00, 0x80, 0x00, 0x00])  # 4095, 0, 2048, 0 in 12 bits each
    assert grays(tiff(tmp_path / "packed.tif", 4, 1, packed, t258=(12,))) == [255, 0, 128, 0]
    ten = struct.pack("<3H", 0, 1023, 512)
    assert grays(tiff(tmp_path / "told.tif", 3, 1, ten, t258=(16,), t281=(1023,))) == [0, 255, 128]
    with pytest.raises(ImageError, match="does not say which value is white"):  # a statistic, no white
        load_image(tiff(tmp_path / "counted.tif", 3, 1, ten, t258=(16,), t281=(1000,)))


def test_tiff_may_have_white_at_zero(tmp_path: Path):
    samples = struct.pack("<3H", 0, 65535, 0x8000)
    assert grays(tiff(tmp_path / "negative.tif", 3, 1, samples, t258=(16,), t262=(0,))) == [255, 0, 127]


def test_pgm_tells_its_white(tmp_path: Path):
    (tmp_path / "ten.pgm").write_bytes(b"P5 3 1 1023\n" + struct.pack(">3H", 0, 1023, 512))
    assert grays(tmp_path / "ten.pgm") == [0, 255, 128]
    (tmp_path / "night.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 0, 1023))
    assert grays(tmp_path / "night.pgm") == [0, 3]


def test_transparent_deep_gray_is_white(tmp_path: Path):
    samples = np.array([[1000, 40000]], np.uint16)
    assert grays(png(tmp_path / "key.png", samples, png_chunk(b"tRNS", struct.pack(">H", 1000)))) == [255, 156]


@pytest.mark.parametrize("mode", ["I;16L", "I;16B"])
def test_deep_modes_of_either_byte_order(mode: str):
    order = "<u2" if mode.endswith("L") else ">u2"
    image = Image.frombytes(mode, (2, 1), np.array([0x1234, 0xFFFF], order).tobytes())
    assert np.asarray(load_image(image))[0, :, 0].tolist() == [0x12, 255]


def test_float_tiff(tmp_path: Path):
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "unit.tiff")
    assert grays(tmp_path / "unit.tiff") == [0, 128, 255]
    for last in (np.nan, np.inf, 255):
        Image.fromarray(np.array([[0, 0.5, last]], np.float32)).save(tmp_path / "odd.tiff")
        with pytest.raises(ImageError, match=rf"values in \[0, 1\], got (nan to nan|0 to {last:g})"):
            load_image(tmp_path / "odd.tiff")
