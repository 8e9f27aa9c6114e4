"""Masks that tell things apart, in the format of COCO panoptic; and pieces that stand in where masks do not."""

import json

import numpy as np
import pytest

from pnpovss.datasets import IGNORE, open_dataset
from pnpovss.datasets.base import Dataset
from pnpovss.errors import DatasetError
from tests.support import trees
from tests.support.colours import colour_space, write_photo


@pytest.mark.parametrize("inside", ["", "coco"])
def test_each_thing_is_apart_and_crowds_are_marked(tmp_path, inside):
    trees.things(tmp_path / inside)
    data = open_dataset("coco-things", tmp_path)
    assert len(data.space.classes) == 81
    first, last = data
    things = data.things(first)
    assert [(data.space.classes[each.row], each.crowd, int(each.mask.sum())) for each in things] == [
        ("cat", False, 4),
        ("cat", False, 3),
        ("cat", True, 2),
    ]
    assert data.things(last) == []


def test_crowds_and_what_is_not_marked_are_left_out_and_surroundings_are_background(tmp_path):
    data = open_dataset("coco-things", trees.things(tmp_path))
    truth = data.truth(data.samples[0])
    cat = data.space.classes.index("cat")
    assert truth[:2].tolist() == [[cat] * 4 + [IGNORE] * 2, [cat] * 3 + [0, 0, IGNORE]]
    assert data.present(data.samples[0]) == (cat - 1,)


def test_what_is_missing_or_damaged_is_said(tmp_path):
    base = trees.things(tmp_path)
    table = base / "annotations/panoptic_val2017.json"
    told = json.loads(table.read_text())
    table.write_text(json.dumps({"annotations": told["annotations"][1:]}))
    data = open_dataset("coco-things", tmp_path)
    with pytest.raises(DatasetError, match=r"says nothing of 000000000139\.png"):
        data.things(data.samples[0])
    table.write_text("[]")
    with pytest.raises(DatasetError, match="is no list of COCO panoptic segments"):
        open_dataset("coco-things", tmp_path).things(data.samples[0])
    data.samples[0].mask.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="cannot be read"):
        data.things(data.samples[0])
    trees.photo(data.samples[1].image, (7, 4))
    with pytest.raises(DatasetError, match="they must have the same size"):
        data.things(data.samples[1])
    (base / "val2017").rename(base / "elsewhere")
    with pytest.raises(DatasetError, match="val2017 is missing"):
        open_dataset("coco-things", tmp_path)


def test_connected_pieces_stand_in_where_masks_do_not_tell(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[2:10, 2:10] = mask[20:30, 2:10] = 1
    mask[40:50, 40:50] = 3
    mask[60, 60] = 3  # a speck
    data = Dataset(colour_space(), tmp_path, [write_photo(tmp_path, "a", mask)])
    assert [(each.row, int(each.mask.sum()), each.crowd) for each in data.things(data.samples[0])] == [
        (1, 64, False),
        (1, 80, False),
        (3, 100, False),
    ]
