"""Pictures of large photos, and of names that would steer a terminal."""

import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from pnpovss.results.colours import colour
from pnpovss.results.legend import Entry, caption, entry, legend
from pnpovss.results.pictures import heat_picture, region_picture

SIDE = 1600


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[100:900, 100:1500] = 1
    values[700:1500, 300:1200] = 2
    return values


ENTRIES = (Entry("cat", "30%", True), Entry("sofa", "20%", True))


def test_regions_are_half_the_photo_and_half_their_colour(photo: Image.Image, labels: np.ndarray):
    picture = np.asarray(region_picture(photo, labels, ENTRIES))[:SIDE]
    pixels = np.asarray(photo)
    expected = np.where(
        (labels > 0)[..., None],
        np.rint((pixels.astype(int) + np.array([(0, 0, 0), colour(0), colour(1)])[labels]) / 2),
        pixels,
    )
    outline = (picture != expected).any(-1)
    assert 0.01 < outline.mean() < 0.06
    assert labels[outline].all(), "only regions have outlines, inside their own edge"
    assert not outline[300:500, 300:1000].any()


def test_large_photos_take_little_memory(photo: Image.Image, labels: np.ndarray):
    """Blending in floating point took 100 bytes per pixel."""
    heat = np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    for make in (lambda: region_picture(photo, labels, ENTRIES), lambda: heat_picture(photo, heat, "cat", 1.0)):
        tracemalloc.start()
        make()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * SIDE * SIDE


def test_the_heat_scale_is_the_same_in_every_band(photo: Image.Image):
    """A map that repeats below itself is painted the same below, on a photo that does so, too."""
    half = np.random.default_rng(1).random((SIDE // 2, SIDE), dtype=np.float32)
    grey = Image.new("RGB", (SIDE, SIDE), (80, 80, 80))
    picture = np.asarray(heat_picture(grey, np.concatenate([half, half]), "cat", 1.0))
    assert (picture[: SIDE // 2] == picture[SIDE // 2 : SIDE]).all()


@pytest.mark.parametrize("name", ["\x1b[31mcat", "cat\u202egod", "cat\ndog"])
def test_names_are_written_out_where_they_would_steer(name: str):
    shown = name.encode("unicode_escape").decode()
    assert caption((400, 300), name, "highest").tobytes() == caption((400, 300), shown, "highest").tobytes()
    strips = [legend((400, 300), [Entry(text, "3%", True)]).tobytes() for text in (name, shown)]
    assert strips[0] == strips[1]


def test_a_name_of_a_book_is_cut_at_once():
    start = time.process_time()
    strip = legend((400, 300), [Entry("w" * 1_000_000, "not found", False)])
    assert time.process_time() - start < 5
    assert strip.width == 400


@pytest.mark.parametrize(("width", "height"), [(3, 3000), (3000, 3), (100, 2000), (2000, 100), (300, 3000)])
def test_narrow_photos_make_pictures_of_their_own_size(width: int, height: int):
    """Letters of 3% of 30,000 px made a strip of 10,800 px below a photo that was 3 px wide."""
    image = Image.new("RGB", (width, height))
    whole = region_picture(image, np.ones((height, width), np.uint8), ENTRIES[:1])
    heat = heat_picture(image, np.ones((height, width), np.float32), "cat", 1.0)
    for picture in (whole, heat):
        assert picture.width <= max(2 * width, 224), "16 of the smallest letters"
        assert picture.height - height <= max(0.3 * min(width, height), 32)


@pytest.mark.parametrize("size", [(300, 200), (4000, 3000), (3000, 4000), (1080, 2400), (4000, 1000)])
def test_letters_on_other_photos_are_of_the_longer_side(size: tuple[int, int]):
    letters = max(14, round(0.03 * max(size)))
    strip = caption(size, "cat", "highest")
    assert strip.size == (max(size[0], 16 * letters), round(letters * 1.7) + round(letters * 0.5))


def test_what_a_legend_says():
    assert entry("cat", 0.304, kept=True, match=0.9) == Entry("cat", "30%", True)
    assert entry("cat", 0.004, kept=True, match=None) == Entry("cat", "< 1%", True)
    assert entry("cat", 0, kept=True, match=0.9) == Entry("cat", "not found", False)
    assert entry("cat", 0, kept=False, match=0.09) == Entry("cat", "absent, match 0.09", False)
    assert entry("cat", 0, kept=False, match=None) == Entry("cat", "left out", False)
