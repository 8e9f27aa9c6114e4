"""Colour profiles: the right colours, by the matrices of the standards."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pnpovss.images import load_image
from tests.support.profiles import DISPLAY_P3, black_ink_profile, linear_gray_profile, rgb_profile

P3 = rgb_profile(DISPLAY_P3)
COLOURS = [(200, 100, 50), (90, 140, 100), (128, 128, 128), (60, 60, 130), (255, 255, 255), (0, 0, 0)]


def p3_to_srgb(colour: tuple[int, ...]) -> np.ndarray:
    """By the published matrix between the two sets of primaries, which share sRGB's curve and white."""
    encoded = np.array(colour) / 255
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    matrix = [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]
    light = np.clip(matrix @ light, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def row(colours: list[tuple[int, ...]], mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (len(colours), 1))
    for x, colour in enumerate(colours):
        image.putpixel((x, 0), colour)
    return image


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "avif", "jpg"])
def test_display_p3_becomes_srgb(tmp_path: Path, suffix: str):
    exact = {"webp": {"lossless": True}, "avif": {"quality": 100, "subsampling": "4:4:4"}, "jpg": {"quality": 100}}
    for colour in COLOURS:
        path = tmp_path / f"wide.{suffix}"
        Image.new("RGB", (16, 16), colour).save(path, icc_profile=P3, **exact.get(suffix, {}))
        difference = np.abs(np.asarray(load_image(path))[8, 8] - p3_to_srgb(colour)).max()
        assert difference <= 3, colour
    assert np.abs(COLOURS[0] - p3_to_srgb(COLOURS[0])).max() > 15  # what it is about


def test_transparency_and_palettes_with_a_profile(tmp_path: Path):
    see_through = row([(200, 100, 50, 255), (200, 100, 50, 0)], "RGBA")
    see_through.save(tmp_path / "alpha.png", icc_profile=P3)
    pixels = np.asarray(load_image(tmp_path / "alpha.png"))[0]
    assert np.abs(pixels[0] - p3_to_srgb((200, 100, 50))).max() <= 2
    assert pixels[1].tolist() == [255] * 3
    row(COLOURS).quantize(8).save(tmp_path / "palette.png", icc_profile=P3)
    with Image.open(tmp_path / "palette.png") as stored:
        before = np.asarray(stored.convert("RGB"))[0]
    after = np.asarray(load_image(tmp_path / "palette.png"))[0]
    assert np.abs(after - np.array([p3_to_srgb(tuple(colour)) for colour in before])).max() <= 2


def test_the_caller_s_picture_keeps_its_colours():
    image = row(COLOURS)
    image.info["icc_profile"] = P3
    assert np.abs(np.asarray(load_image(image))[0, 0] - p3_to_srgb(COLOURS[0])).max() <= 2
    assert image.getpixel((0, 0)) == COLOURS[0]
    again = load_image(load_image(image))
    assert np.array_equal(np.asarray(again), np.asarray(load_image(image))), "converted once, not twice"


def test_srgb_pixels_stay_exactly_as_they_are(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "srgb.png", icc_profile=profile)
    assert np.array_equal(np.asarray(load_image(tmp_path / "srgb.png")), pixels)


def test_gray_profile(tmp_path: Path):
    Image.new("L", (2, 2), 55).save(tmp_path / "linear.png", icc_profile=linear_gray_profile())
    assert np.abs(np.asarray(load_image(tmp_path / "linear.png")).astype(int) - 128).max() <= 1
    Image.new("LA", (2, 2), (55, 255)).save(tmp_path / "alpha.png", icc_profile=linear_gray_profile())
    assert np.abs(np.asarray(load_image(tmp_path / "alpha.png")).astype(int) - 128).max() <= 1


def test_cmyk_profile(tmp_path: Path):
    """Half the black ink is L* 50 there, 119 in sRGB; without the profile it would be 127."""
    Image.new("CMYK", (16, 16), (0, 0, 0, 128)).save(
        tmp_path / "print.jpg", quality=100, icc_profile=black_ink_profile()
    )
    assert np.abs(np.asarray(load_image(tmp_path / "print.jpg")).astype(int) - 119).max() <= 2


@pytest.mark.parametrize(
    ("mode", "profile", "says"),
    [
        ("RGB", b"no profile at all", "cannot be used"),
        ("RGB", P3[:200], "cannot be used"),
        ("RGB", linear_gray_profile(), "it is for L, the pixels are RGB"),
        ("CMYK", P3, "it is for RGB, the pixels are CMYK"),
    ],
)
def test_profiles_that_do_not_fit_are_ignored_aloud(
    mode: str, profile: bytes, says: str, caplog: pytest.LogCaptureFixture
):
    file = io.BytesIO()
    Image.new(mode, (4, 4)).save(file, "TIFF", icc_profile=profile)
    with caplog.at_level(logging.WARNING), Image.open(file) as image:
        assert np.ptp(np.asarray(load_image(image))) == 0
    assert says in caplog.text
    assert "taken as sRGB" in caplog.text
