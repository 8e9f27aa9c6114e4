"""Instances in a result: what they refuse, how they are saved, shown and exported."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pnpovss.config import Config
from pnpovss.errors import InvalidInputError
from pnpovss.inputs import prepare
from pnpovss.instances.pieces import pieces
from pnpovss.results.instances import Instance, Instances
from pnpovss.results.regions import inner_point
from pnpovss.results.rle import decode
from pnpovss.results.segmentation import Segmentation
from pnpovss.segmenter import Segmenter
from tests.support.fakes import colour_backbone
from tests.support.results import hand_made, labelled

LABELS = hand_made().labels


def apart(**replaced: Any) -> Instances:
    """The cat; the sofa in two, to its left and to its right."""
    number = np.zeros((4, 6), np.uint16)
    number[LABELS == 1] = 1
    number[LABELS == 2] = 3
    number[2:, 3:] = 2
    fields: dict[str, Any] = {
        "map": number,
        "name_index": (0, 1, 1),
        "scores": (0.75, 0.5, 0.25),
        "heat": np.ones((3, 2, 2), np.float32),
    }
    return Instances(**{**fields, **replaced})


def test_things_come_one_by_one():
    things = apart()
    assert len(things) == 3
    assert [thing.number for thing in things] == [1, 2, 3]
    assert isinstance(things[-1], Instance)
    assert things[-1].box == (0, 2, 3, 2)
    assert [thing.area for thing in things[1:]] == [6, 4]
    with pytest.raises(IndexError):
        things[3]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"map": np.zeros((4, 6), np.uint16)}, "hold 0 numbers up to 0, but 3 are named"),
        ({"map": np.zeros((4, 6), np.uint8)}, "expected uint16"),
        ({"scores": (0.5, 0.5)}, "2 scores for 3 instances"),
        ({"scores": (0.5, 0.5, 1.5)}, r"expected a probability in \[0, 1\]"),
        ({"heat": np.ones((2, 2, 2), np.float32)}, r"shape \(3 gh gw\)"),
        ({"heat": -np.ones((3, 2, 2), np.float32)}, "values from 0 on"),
        ({"name_index": (0, 1), "scores": (1.0, 1.0), "heat": np.ones((2, 2, 2), np.float32)}, "up to 3, but 2"),
    ],
)
@pytest.mark.wrong_types
def test_what_does_not_fit_together_is_refused(wrong, said):
    with pytest.raises(InvalidInputError, match=said):
        apart(**wrong)


def test_a_thing_has_pixels_of_its_own_name_only():
    with pytest.raises(InvalidInputError, match="4 pixels belong to things of another name"):
        hand_made(instances=apart(name_index=(2, 1, 1)))
    number = np.ones((2, 2), np.uint16)
    other = Instances(number, (0,), (1.0,), np.ones((1, 1, 1), np.float32))
    with pytest.raises(InvalidInputError, match=r"shape \(2, 2\), the labels \(4, 6\)"):
        hand_made(instances=other)


def test_exports_hold_an_item_for_each_thing():
    result = hand_made(instances=apart())
    assert [item["category"] for item in result.to_coco_rle()] == ["cat", "sofa", "sofa"]
    assert [item["bbox"] for item in result.to_coco_rle()] == [[1, 1, 2, 2], [3, 2, 3, 2], [0, 2, 3, 2]]
    assert [item["label"] for item in result.to_pipeline()] == ["cat", "sofa", "sofa"]
    assert result.to_supervision().class_id.tolist() == [0, 1, 1]
    assert [region.index for region in result.regions] == [0, 1]
    told = json.loads(json.dumps(result.to_dict()))["instances"]
    assert np.array_equal(decode(told[1]["segmentation"]), apart().map == 2)
    assert hand_made().to_dict()["instances"] is None
    assert len(hand_made().to_coco_rle()) == 2


def test_what_is_saved_is_read_back(tmp_path: Path):
    made = hand_made(instances=apart(redrawn_by="a model"))
    made.save(tmp_path / "a.npz")
    read = Segmentation.load(tmp_path / "a.npz")
    assert read.instances is not None
    assert np.array_equal(read.instances.map, made.instances.map)
    assert np.array_equal(read.instances.heat, made.instances.heat)
    assert (read.instances.name_index, read.instances.scores) == ((0, 1, 1), (0.75, 0.5, 0.25))
    assert read.instances.redrawn_by == "a model"
    assert Segmentation.load(saved(hand_made(), tmp_path)).instances is None


def saved(result: Segmentation, folder: Path) -> Path:
    result.save(folder / "b.npz")
    return folder / "b.npz"


def test_half_of_what_was_saved_is_refused(tmp_path: Path):
    path = saved(hand_made(instances=apart()), tmp_path)
    arrays = dict(np.load(path))
    np.savez(path, **{name: value for name, value in arrays.items() if name != "instances"})
    with pytest.raises(InvalidInputError, match="instances are saved in part: it holds instance_heatmaps"):
        Segmentation.load(path)


def test_the_overlay_has_an_outline_between_things_and_their_numbers():
    labels = np.ones((120, 200), np.uint8)
    number = np.ones((120, 200), np.uint16)
    number[:, 100:] = 2
    photo = Image.new("RGB", (200, 120), (40, 40, 40))
    plain = labelled(labels, ["cat"])
    told = labelled(labels, ["cat"], instances=Instances(number, (0, 0), (1.0, 1.0), np.zeros((2, 2, 2), np.float32)))
    first, second = (np.asarray(result.overlay(photo)).astype(int) for result in (plain, told))
    changed = (np.abs(first - second).sum(2) > 0)[:120]
    assert changed[:, 99:101].all()
    assert changed[50:70, 40:60].any()
    assert changed[50:70, 140:160].any()
    assert not changed[:40, :90].any()


def test_the_map_is_a_file_of_16_bits():
    png = Image.open(io.BytesIO(hand_made(instances=apart()).instance_png_bytes()))
    assert png.mode == "I;16"
    assert np.array_equal(np.asarray(png), apart().map)
    with pytest.raises(InvalidInputError, match="were not told apart; segment with instances="):
        hand_made().instance_png_bytes()


def test_a_number_lies_well_inside():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 1:8] = True
    mask[0, 0] = True
    assert inner_point(mask) == (3, 4)


def two_squares() -> np.ndarray:
    """Two red squares apart, on blue."""
    photo = np.zeros((32, 64, 3), np.uint8)
    photo[..., 2] = 255
    photo[8:24, 8:24] = photo[8:24, 40:56] = (255, 0, 0)
    return photo


def test_a_segmenter_tells_things_apart_when_asked():
    segmenter = Segmenter(colour_backbone(grid=8), Config.preset("default", {"threshold": 0.5}).without("crf", "blur"))
    assert segmenter(two_squares(), ["red", "blue"]).instances is None
    result = segmenter(two_squares(), ["red", "blue"], instances="pieces")
    assert result.instances is not None
    assert [thing.index for thing in result.instances].count(0) == pieces(result.mask("red")).max() > 1
    assert result.provenance.config.instances.split == "pieces"
    [streamed] = segmenter.stream([(two_squares(), ["red", "blue"])], instances="pieces")
    assert np.array_equal(streamed.instances.map, result.instances.map)


def test_the_setting_does_what_the_argument_does():
    config = Config.preset("default", {"threshold": 0.5, "instances.split": "heat"}).without("crf", "blur")
    result = Segmenter(colour_backbone(grid=8), config)(two_squares(), ["red"])
    assert result.instances is not None
    assert np.array_equal(result.instances.map > 0, result.labels > 0)


def test_the_passes_are_parts_of_the_heat_map():
    segmenter = Segmenter(colour_backbone(grid=8), Config.preset("default", {"dropout.passes": 3, "dropout.drop": 5}))
    [seen] = segmenter.explain([prepare(two_squares(), ["red"], segmenter.backbone.card, segmenter.config)])
    assert seen.passes.shape == (3, 1, 8, 8)
    assert np.allclose(seen.passes.sum(0), seen.names)
    assert (seen.passes[1] > 0).sum() == 64 - 5
