"""Photos that EXIF turns: masks drawn on the upright photo, and masks made from the pixels as stored."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from pnpovss.datasets import open_dataset
from pnpovss.datasets.masks import read_mask
from pnpovss.errors import DatasetError
from pnpovss.images import load_image
from tests.support import trees

SIDEWAYS, FLAT = (5, 6, 7, 8), (2, 3, 4)


def pair(folder, orientation, size=(6, 4)):
    """A photo whose red is 10 times the mask's value at the same stored pixel."""
    values = np.random.default_rng(orientation).integers(0, 20, (size[1], size[0])).astype(np.uint8)
    pixels = np.stack([values * 10, values * 0, values * 0], -1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(folder / "photo.png", exif=exif)
    return values, folder / "photo.png", folder / "mask.png"


def fits(mask, photo):
    return (np.asarray(load_image(photo))[..., 0] == mask * 10).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_stored_pixels_is_turned_with_its_photo(tmp_path, orientation):
    values, photo, mask = pair(tmp_path, orientation)
    Image.fromarray(values).save(mask)
    assert fits(read_mask(mask, photo, "stored"), photo)
    if orientation in SIDEWAYS:
        assert fits(read_mask(mask, photo), photo), "the size tells"
        with pytest.raises(DatasetError, match=rf"4 x 6 as its EXIF turns it \(orientation {orientation}\)"):
            read_mask(mask, photo, "upright")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_upright_photo_stays(tmp_path, orientation):
    values, photo, mask = pair(tmp_path, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(values)
    stored.info["exif"] = exif.tobytes()
    stored.getexif()[0x0112] = orientation
    ImageOps.exif_transpose(stored).save(mask, exif=b"")
    assert fits(read_mask(mask, photo, "upright"), photo)
    if orientation in SIDEWAYS:
        assert fits(read_mask(mask, photo), photo)


@pytest.mark.parametrize(("orientation", "size"), [*((n, (6, 4)) for n in FLAT), (6, (5, 5))])
def test_where_the_sizes_do_not_tell_it_must_be_said(tmp_path, orientation, size):
    values, photo, mask = pair(tmp_path, orientation, size)
    Image.fromarray(values).save(mask)
    with pytest.raises(DatasetError, match=rf"EXIF \(orientation {orientation}\).*--exif upright or --exif stored"):
        read_mask(mask, photo)


def test_a_size_that_fits_neither_way_names_both(tmp_path):
    _, photo, mask = pair(tmp_path, 6)
    Image.new("L", (3, 3)).save(mask)
    with pytest.raises(DatasetError, match=r"is 3 x 3 pixels, its photo photo.png is 6 x 4 as stored and 4 x 6 as its"):
        read_mask(mask, photo)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_segments_of_the_stored_pixels_are_turned_with_their_photo(tmp_path, orientation):
    data = open_dataset("coco-things", trees.things(tmp_path), exif="stored")
    sample = data.samples[0]
    stored = Image.fromarray((data.truth(sample) + 1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(sample.image).save(sample.image, exif=exif)
    stored.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(data.truth(sample) + 1, upright)
    assert {each.mask.shape for each in data.things(sample)} == {upright.shape}
    untold = open_dataset("coco-things", tmp_path)
    if orientation in SIDEWAYS:
        assert np.array_equal(untold.truth(sample) + 1, upright), "the size tells"
    else:
        with pytest.raises(DatasetError, match="--exif upright or --exif stored"):
            untold.truth(sample)
