"""The fake backbone must itself be right: other tests take its arithmetic for granted."""

import pytest
import torch

from pnpovss.backbones.base import Backbone, Reading
from tests.support.fakes import PADDING, FakeBackbone, colour_backbone


def test_it_is_a_backbone():
    assert isinstance(FakeBackbone(), Backbone)


def test_words_attend_as_set_by_hand_and_not_to_blanked_patches():
    fake = FakeBackbone({"cat": [[9, 4], [0, 0]]}, heads={0: 1, 3: 2}, patch=2)
    pixels = torch.ones(1, 3, 4, 4)
    pixels[:, :, :2, :2] = 0
    prompt, longer = fake.tokenize("A Cat"), fake.tokenize("a cat, asleep")
    match = fake.match(fake.encode_images(pixels), [[prompt, longer]], Reading((3,)))
    assert prompt.pieces == ("[ENC]", "a", "cat", "[SEP]")
    assert prompt.offsets[2] == (2, 5)
    [seen] = match.maps
    assert seen.attention.shape == (1, 2, 4 + 6, 2, 2)
    assert seen.attention[0, 0, 2].tolist() == [[0, 11 * 4], [0, 0]]
    assert seen.attention[0, 1, 2].tolist() == [[0, 12 * 4], [0, 0]]
    assert seen.attention.max() < PADDING
    assert [logits.tolist() for logits in match.logits] == [[4, 4]]


def test_a_wrong_grid_is_told():
    fake = FakeBackbone({"cat": [[9, 4], [0, 0]]}, patch=2)
    with pytest.raises(ValueError, match="the grid"):
        fake.match(fake.encode_images(torch.ones(1, 3, 6, 6)), [[fake.tokenize("cat")]], Reading((0,)))


def test_colours_attend_on_any_grid():
    fake = colour_backbone()
    pixels = torch.full((1, 3, 8, 16), -1.0)
    pixels[:, 0, :, 8:] = 1.0
    red = fake.match(fake.encode_images(pixels), [[fake.tokenize("red")]], Reading((0,))).maps[0].attention[0, 0, 1]
    assert red.shape == (1, 2)
    assert red[0, 1] == 1
    assert red[0, 0] < 0.01
