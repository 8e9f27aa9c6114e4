"""What tells one data set from another: content, not names or times."""

import json
import os

import numpy as np
import pytest

from pnpovss.datasets import open_dataset
from pnpovss.datasets.base import Sample
from pnpovss.datasets.content import masks_digest, photos_digest
from pnpovss.errors import DatasetError
from tests.support import trees
from tests.support.colours import colour_dataset


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_photo_is_known_by_its_content(tmp_path, size, place):
    content = bytearray(np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes())
    first, copy, other = (Sample("a", tmp_path / name, tmp_path / "a.png") for name in ("a.jpg", "b.jpg", "c.jpg"))
    first.image.write_bytes(content)
    copy.image.write_bytes(content)
    os.utime(copy.image, (0, 0))
    content[0 if place == "first" else -1] ^= 1
    other.image.write_bytes(content)
    assert photos_digest([first]) == photos_digest([copy]) != photos_digest([other])
    other.image.write_bytes(bytes(content) + b"\0")
    assert photos_digest([other]) not in (photos_digest([first]), photos_digest([first, other]))


def test_a_photo_saved_anew_at_the_same_size_is_another(tmp_path):
    """An uncompressed one, of which only a corner changes: samples lie all over the file."""
    pixels = np.zeros((400, 400, 3), np.uint8)
    photo = Sample("a", tmp_path / "a.bmp", tmp_path / "a.png")
    digests = set()
    for corner in (0, 255):
        pixels[200:, 200:] = corner
        trees.Image.fromarray(pixels).save(photo.image)
        digests.add(photos_digest([photo]))
    assert len(digests) == 2


def test_all_that_tells_segments_counts_as_masks(tmp_path):
    data = open_dataset("coco-things", trees.things(tmp_path))
    before = masks_digest(data, data.samples)
    table = tmp_path / "annotations/panoptic_val2017.json"
    told = json.loads(table.read_text())
    told["annotations"][0]["segments_info"][0]["category_id"] = 18
    table.write_text(json.dumps(told))
    again = open_dataset("coco-things", tmp_path)
    assert masks_digest(again, again.samples) != before


def test_what_is_missing_is_named(tmp_path):
    data = colour_dataset(tmp_path, count=2)
    data.samples[1].mask.unlink()
    with pytest.raises(DatasetError, match=r"photo1_mask\.png cannot be read .* has no truth without it"):
        masks_digest(data, data.samples)
    data.samples[0].image.unlink()
    with pytest.raises(DatasetError, match=r"photo .*photo0\.png cannot be read"):
        photos_digest(data.samples)
