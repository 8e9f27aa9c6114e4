"""Every kind of file, picture and array that a person may hand in."""

import logging
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.errors import ImageError
from pnpovss.images import load_image
from tests.support.photos import blank_png

RED, WHITE = (255, 0, 0), (255, 255, 255)


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.fixture
def photo() -> Image.Image:
    """4 x 2 pixels: red left, blue right."""
    image = Image.new("RGB", (4, 2), "blue")
    image.paste("red", (0, 0, 2, 2))
    return image


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "ppm", "tga"])
def test_files_keep_their_pixels(tmp_path: Path, photo: Image.Image, suffix: str):
    path = tmp_path / f"photo.{suffix}"
    photo.save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert (pixels(load_image(path)) == np.asarray(photo)).all()
    assert (pixels(load_image(str(path))) == np.asarray(photo)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_every_mode_becomes_rgb(mode: str):
    white = Image.new("LAB", (3, 2), (255, 128, 128)) if mode == "LAB" else Image.new("RGB", (3, 2), "white")
    assert (pixels(load_image(white if mode == "LAB" else white.convert(mode))) >= 250).all()


def test_cmyk_jpeg(tmp_path: Path):
    Image.new("RGB", (16, 16), "red").convert("CMYK").save(tmp_path / "print.jpg")
    with Image.open(tmp_path / "print.jpg") as stored:
        assert stored.mode == "CMYK"
    red, green, blue = pixels(load_image(tmp_path / "print.jpg"))[8, 8].tolist()
    assert red > 240
    assert max(green, blue) < 15


def test_16_bit_gray_keeps_its_upper_bits(tmp_path: Path):
    Image.fromarray(np.array([[0, 256, 0x7FFF, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert pixels(load_image(tmp_path / "deep.png"))[0].tolist() == [[0] * 3, [1] * 3, [127] * 3, [255] * 3]
    Image.fromarray(np.array([[0, 256, 0x7FFF, 65535]], np.int32)).save(tmp_path / "deep.tiff")
    assert pixels(load_image(tmp_path / "deep.tiff"))[0].tolist() == [[0] * 3, [1] * 3, [127] * 3, [255] * 3]


def test_deep_grays_without_a_known_white_are_refused():
    with pytest.raises(ImageError, match="from 0 to 90000 and does not say which value is white"):
        load_image(Image.fromarray(np.array([[0, 90000]], np.int32)))
    with pytest.raises(ImageError, match=r"values in \[0, 1\], got 0 to 300"):
        load_image(Image.fromarray(np.array([[0, 300]], np.float32)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(mode: str):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    seen = pixels(load_image(image.convert(mode)))
    assert seen[0].tolist() == [[255] * 3, [0] * 3]


def test_transparent_palette_colour_is_white(tmp_path: Path):
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    assert pixels(load_image(tmp_path / "palette.png"))[0].tolist() == [[255] * 3, [0, 0, 255]]


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
    ],
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, expected: list[list[int]]):
    stored = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    assert pixels(load_image(tmp_path / "turned.png"))[..., 0].tolist() == expected
    assert load_image(load_image(tmp_path / "turned.png")).size == (len(expected[0]), len(expected))


def test_animation_gives_its_first_frame_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.WARNING):
        assert pixels(load_image(tmp_path / "moving.gif"))[0, 0].tolist() == list(RED)
    assert "moving.gif is an animation; only its first frame" in caplog.text


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3, 3), 7, np.uint8), 7),
        (np.full((2, 3), 7, np.uint8), 7),
        (np.full((2, 3, 1), 7, np.uint8), 7),
        (np.dstack([np.full((2, 3, 3), 7, np.uint8), np.full((2, 3), 255, np.uint8)]), 7),
        (np.zeros((2, 3, 4), np.uint8), 255),
        (np.ones((2, 3), bool), 255),
        (np.full((2, 3, 3), 0.5, np.float32), 128),
        (np.full((2, 6, 3), 9, np.uint8)[:, ::-2], 9),
    ],
)
def test_arrays(array: np.ndarray, expected: int):
    image = load_image(array)
    assert image.size == (3, 2)
    assert (pixels(image) == expected).all()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"got shape \(3, 8, 8\); channels come last, so transpose"),
        (np.zeros((8, 8, 2), np.uint8), r"got shape \(8, 8, 2\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"got shape \(1, 8, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), "at least one pixel"),
        (np.zeros((8, 8), np.int64), "got int64; convert it"),
        (np.full((8, 8), 255.0), "got 255 to 255; scale it"),
        (np.full((8, 8), np.nan), "got nan to nan"),
        (np.full((8, 8), -0.1), "got -0.1 to -0.1"),
    ],
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray, says: str):
    with pytest.raises(ImageError, match=says):
        load_image(array)


@pytest.mark.wrong_types
def test_other_objects_are_refused():
    with pytest.raises(ImageError, match=r"a PIL image or a NumPy array, got builtins\.bytearray"):
        load_image(bytearray(b"photo"))  # type: ignore[arg-type]


def test_the_content_of_a_file_is_read_as_the_file(tmp_path: Path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path)
    content = path.read_bytes()
    assert load_image(content).tobytes() == load_image(path).tobytes()
    for damaged, says in {
        b"": r"the photo is empty \(0 bytes\)",
        b"%PDF-1.7": "the photo is no photo: it is a PDF document",
        content[:45]: "the photo is damaged or incomplete",
        b"MM\0*" + bytes(60): "the photo is a TIFF of a kind that is not read",
    }.items():
        with pytest.raises(ImageError, match=says):
            load_image(damaged)


def test_missing_empty_folder_and_device(tmp_path: Path):
    (tmp_path / "empty.jpg").touch()
    for name, says in {
        "nowhere.jpg": "does not exist; check",
        "empty.jpg": r"is empty \(0 bytes\)",
        ".": "is a folder; name a photo in it",
        "nul\0l.jpg": "cannot be opened",
    }.items():
        with pytest.raises(ImageError, match=says):
            load_image(tmp_path / name)
    with pytest.raises(ImageError, match="is a device or pipe"):
        load_image("/dev/null")


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"dear diary, ...", "it seems to be text, starting with 'dear diary, ...'"),
        (b"%PDF-1.4", "PDF document"),
        (bytes(range(200, 232)), "starts with the bytes c8 c9 ca cb"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it seems to be text"),
    ],
)
def test_what_is_no_photo_is_named(tmp_path: Path, start: bytes, says: str):
    (tmp_path / "photo.jpg").write_bytes(start)
    with pytest.raises(ImageError, match=says):
        load_image(tmp_path / "photo.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, kept: float):
    path = tmp_path / f"photo.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ImageError, match=r"damaged or incomplete|is no photo"):
        load_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on broken EXIF blocks
@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tiff"])
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, suffix: str):
    path = tmp_path / f"photo.{suffix}"
    rng = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    extra = {} if suffix == "gif" else {"exif": exif}
    Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(path, **extra)
    good = path.read_bytes()
    for _ in range(150):
        bad = bytearray(good)
        for position in rng.integers(0, min(len(bad), 200), 3):
            bad[position] = rng.integers(0, 256)
        path.write_bytes(bad)
        try:
            image = load_image(path, max_pixels=1_000_000)
        except ImageError:
            continue
        assert image.mode == "RGB"


def test_one_pixel(tmp_path: Path):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    assert pixels(load_image(tmp_path / "dot.png")).tolist() == [[list(RED)]]


def test_huge_png_is_refused_before_decoding(tmp_path: Path):
    path = blank_png(tmp_path / "huge.png", 30_000, 30_000)
    with pytest.raises(ImageError, match=r"30,000 x 30,000 = 900,000,000 pixels.*limit of 50,000,000.*max-pixels"):
        load_image(path)
    with (
        Image.open(blank_png(tmp_path / "large.png", 9_000, 9_000)) as lazy,
        pytest.raises(ImageError, match="the limit"),
    ):
        load_image(lazy)


def test_the_pixel_limit_can_be_raised_and_lowered(tmp_path: Path, photo: Image.Image):
    path = tmp_path / "photo.png"
    photo.save(path)
    with pytest.raises(ImageError, match=r"4 x 2 = 8 pixels, more than the limit of 7"):
        load_image(path, max_pixels=7)
    assert load_image(path, max_pixels=8).size == load_image(path, max_pixels=None).size == (4, 2)
    assert load_image(photo, max_pixels=7).size == (4, 2)  # in memory already
    before = Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=load_image, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS
    assert before is not None


def test_the_caller_s_picture_stays_as_it_was(photo: Image.Image):
    load_image(photo).putpixel((0, 0), WHITE)
    assert photo.getpixel((0, 0)) == RED
