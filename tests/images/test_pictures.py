"""What a caller hands over: read as it stands, and left as it was."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.errors import ImageError
from pnpovss.images import load_image

COLOURS = {0: (255, 0, 0), 1: (0, 0, 255), 2: (0, 128, 0)}


@pytest.fixture(params=["gif", "png", "webp", "tiff", "avif"])
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"film.{request.param}"
    frames = [Image.new("RGB", (16, 16), colour) for colour in COLOURS.values()]
    exact = {"webp": {"lossless": True}, "avif": {"quality": 100}}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, **exact.get(request.param, {}))
    return path


def centre(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))[8, 8].astype(int)


@pytest.mark.parametrize("frame", [1, 2, 0])
@pytest.mark.parametrize("decoded", [False, True])
def test_the_frame_at_hand_is_read_and_stays(film: Path, frame: int, decoded: bool):
    with Image.open(film) as image:
        image.seek(frame)
        if decoded:
            image.load()
        assert np.abs(centre(load_image(image)) - COLOURS[frame]).max() <= 4
        assert image.tell() == frame
        assert np.abs(centre(image) - COLOURS[frame]).max() <= 4
        image.seek(2 - frame)  # still open
        assert np.abs(centre(image) - COLOURS[2 - frame]).max() <= 4


def test_changed_pixels_of_a_film_are_seen_and_stay(film: Path):
    with Image.open(film) as image:
        image.seek(1)
        image.load()
        image.paste(Image.new("RGB", (16, 16), "white").convert(image.mode))
        before = np.asarray(image).copy()
        assert (np.asarray(load_image(image)) >= 250).all()
        assert np.array_equal(np.asarray(image), before)


def test_metadata_of_the_caller_s_picture_stays():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (4, 2))
    image.info = {"exif": exif.tobytes(), "transparency": (1, 2, 3), "comment": b"mine"}
    before = dict(image.info)
    turned = load_image(image)
    assert turned.size == (2, 4)
    assert turned.info == {}
    assert image.info == before
    assert image.size == (4, 2)
    assert load_image(turned).size == (2, 4), "turned once, not twice"


@pytest.mark.parametrize("mode", ["La", "LA", "RGBa", "RGBA"])
def test_premultiplied_transparency(mode: str):
    image = Image.new("LA", (3, 1), (0, 0))
    image.putpixel((1, 0), (0, 128))
    image.putpixel((2, 0), (100, 255))
    seen = np.asarray(load_image(image.convert("RGBA").convert(mode) if mode[0] == "R" else image.convert(mode)))
    assert seen[0, :, 0].tolist() == [255, 127, 100]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16", "I", "F", "CMYK", "YCbCr", "LAB", "HSV", "LA", "RGBX"])
@pytest.mark.parametrize("key", [b"\0" * 256, 0, (0, 0, 0), "x", None, 70000, (1, 2, 3, 4), -1, 1.5, b""], ids=repr)
def test_transparency_that_does_not_fit_is_no_fault(mode: str, key: object):
    """As pictures have that were made from others of another mode: the keys stay, the pixels are others."""
    image = Image.new(mode, (2, 2))
    image.info["transparency"] = key
    assert load_image(image).size == (2, 2)


def test_gray_with_the_transparency_of_a_palette_is_opaque():
    image = Image.new("L", (2, 1), 7)
    image.info["transparency"] = bytes([0, 255])
    assert (np.asarray(load_image(image)) == 7).all()


def test_closed_pictures(tmp_path: Path):
    gone = Image.new("RGB", (2, 2))
    gone.close()
    Image.new("RGB", (2, 2)).save(tmp_path / "photo.png")
    with Image.open(tmp_path / "photo.png") as lazy:
        pass
    for image in (gone, lazy):
        with pytest.raises(ImageError, match=r"the image cannot be read .*; hand it over open"):
            load_image(image)


def test_a_damaged_picture_of_the_caller_s(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    (tmp_path / "photo.png").write_bytes((tmp_path / "photo.png").read_bytes()[:5000])
    with Image.open(tmp_path / "photo.png") as image, pytest.raises(ImageError, match="the image cannot be read"):
        load_image(image)


@pytest.mark.wrong_types
def test_nothing_and_paths_that_are_no_text():
    with pytest.raises(ImageError, match="a NumPy array, got None"):
        load_image(None)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"photo\\ud800.jpg cannot be opened") as refused:
        load_image("photo\ud800.jpg")
    str(refused.value).encode("utf-8")
    with pytest.raises(ImageError, match=r"\\x1b\[31m.jpg does not exist"):
        load_image("\x1b[31m.jpg")

    class Bytes:
        def __fspath__(self) -> bytes:
            return b"/nowhere/photo.jpg"

    with pytest.raises(ImageError, match=r"/nowhere/photo\.jpg does not exist"):
        load_image(Bytes())  # type: ignore[arg-type]
