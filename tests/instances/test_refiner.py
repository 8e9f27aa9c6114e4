"""Another model that moves borders: by hand, and a small random SAM 2 through transformers' own loading."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pnpovss.config import InstanceSettings
from pnpovss.errors import CheckpointError, InvalidInputError
from pnpovss.instances.find import find_instances
from pnpovss.instances.refiner import Hint, Refiner, hints_of, redraw
from pnpovss.instances.sam2 import Sam2Refiner
from pnpovss.results.segmentation import Segmentation
from tests.support.results import labelled

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)


def two_cats() -> Segmentation:
    """A cat on the left, one on the right, and a dog below the left one."""
    labels = np.zeros((24, 40), np.uint8)
    labels[2:12, 2:14] = labels[2:20, 20:38] = 1
    labels[12:20, 2:14] = 2
    result = labelled(labels, ["cat", "dog"])
    chosen = InstanceSettings(split="pieces", smallest=0)
    passes = np.ones((1, 2, 2, 2), np.float32)
    return replace(result, instances=find_instances(labels, result.scores, (0, 1), passes, PHOTO, chosen))


class ByHand:
    """Gives logits that a test made."""

    name = "by hand"

    def __init__(self, logits: np.ndarray) -> None:
        self.logits, self.told = logits, []

    def draw(self, photo, hints):
        self.told = list(hints)
        return self.logits


def test_hints_say_where_each_thing_is_and_where_others_of_its_name_are():
    things = two_cats().instances
    assert things is not None
    large, small, dog = hints_of(things)
    assert (large.box, small.box, dog.box) == ((20, 2, 38, 20), (2, 2, 14, 12), (2, 12, 14, 20))
    assert large.outside == (small.inside,)
    assert dog.outside == ()
    assert things.map[small.inside[1], small.inside[0]] == 2


def test_pixels_go_to_the_thing_that_is_surest_and_regions_stay():
    result = two_cats()
    logits = np.full((3, 24, 40), -1, np.float32)
    logits[1, :, 20:24] = 2  # the small cat claims a part of the large one
    logits[0, :, 20:24] = 1
    logits[0, 12:20] = 3  # and the large cat a part of the dog, which is another name's
    refiner = ByHand(logits)
    drawn = redraw(result, PHOTO, refiner)
    assert isinstance(refiner, Refiner)
    assert drawn.instances is not None
    assert drawn.instances.redrawn_by == "by hand"
    assert np.array_equal(drawn.instances.map > 0, result.labels > 0)
    assert np.array_equal(drawn.labels, result.labels)
    assert sorted(thing.area for thing in drawn.instances if thing.index == 0) == [120 + 4 * 10, 18 * 18 - 4 * 10]
    assert [thing.area for thing in drawn.instances if thing.index == 1] == [96]


def test_a_thing_that_loses_all_is_gone():
    result = two_cats()
    logits = np.zeros((3, 24, 40), np.float32)
    logits[0] = 1
    drawn = redraw(result, PHOTO, ByHand(logits)).instances
    assert drawn is not None
    assert drawn.name_index == (0, 1)


def test_what_cannot_be_redrawn_is_refused():
    with pytest.raises(InvalidInputError, match="were not told apart"):
        redraw(labelled(np.ones((2, 2), np.uint8), ["cat"]), PHOTO[:2, :2], ByHand(np.zeros((1, 2, 2), np.float32)))
    with pytest.raises(InvalidInputError, match=r"of shape \(24, 40\), this one has \(2, 2\)"):
        redraw(two_cats(), PHOTO[:2, :2], ByHand(np.zeros((3, 24, 40), np.float32)))


def test_nothing_to_redraw():
    labels = np.zeros((24, 40), np.uint8)
    empty = labelled(labels, ["cat"])
    things = find_instances(
        labels, empty.scores, (0,), np.ones((1, 1, 1, 1), np.float32), PHOTO, InstanceSettings(split="pieces")
    )
    drawn = redraw(replace(empty, instances=things), PHOTO, ByHand(np.zeros((0, 24, 40), np.float32))).instances
    assert drawn is not None
    assert drawn.redrawn_by == "by hand"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM 2 with random weights, at 128 px."""
    from transformers import Sam2Config, Sam2Model

    torch.manual_seed(0)
    hiera = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [128, 128],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 16, 8],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [7, 7],
    }
    vision = {
        "backbone_config": hiera,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
    }
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
    )
    folder = tmp_path_factory.mktemp("sam2")
    Sam2Model(config).save_pretrained(folder)
    return folder


def test_sam_2_draws_each_thing_at_the_photos_size(checkpoint: Path):
    refiner = Sam2Refiner.from_pretrained(checkpoint, device="cpu", local_files_only=True)
    result = two_cats()
    assert result.instances is not None
    drawn = refiner.draw(PHOTO, hints_of(result.instances))
    assert drawn.shape == (3, 24, 40)
    assert np.isfinite(drawn).all()
    assert refiner.name == str(checkpoint)
    redrawn = redraw(result, PHOTO, refiner)
    assert redrawn.instances is not None
    assert np.array_equal(redrawn.instances.map > 0, result.labels > 0)


def test_hints_reach_sam_2_scaled_to_its_input(checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    refiner = Sam2Refiner.from_pretrained(checkpoint, device="cpu")
    told, forward = {}, type(refiner.model).forward

    def spy(model, **given):
        told.update(given)
        return forward(model, **given)

    monkeypatch.setattr(type(refiner.model), "forward", spy)
    refiner.draw(PHOTO, [Hint((0, 0, 40, 24), (20, 12), ((10, 6),)), Hint((0, 0, 20, 12), (5, 6), ())])
    assert told["input_boxes"].tolist() == [[[0, 0, 128, 128], [0, 0, 64, 64]]]
    assert told["input_points"].tolist() == [[[[64, 64], [32, 32]], [[16, 32], [0, 0]]]]
    assert told["input_labels"].tolist() == [[[1, 0], [1, -10]]]
    assert told["pixel_values"].shape == (1, 3, 128, 128)


def test_another_architecture_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="is of model_type 'bert'; expected 'sam2'"):
        Sam2Refiner.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be loaded as SAM 2"):
        Sam2Refiner.from_pretrained(tmp_path / "nowhere", local_files_only=True)
