"""Masks and measures that pencil and paper can check."""

import math

import numpy as np
import pytest
import torch

from pnpovss.heads import HeadLook
from pnpovss.tuning.cells import Cell, cells_of, masks_of
from pnpovss.tuning.masks import authors_mask, level_masks
from pnpovss.tuning.measures import MEASURES, measure, spatial_entropy
from tests.support.apple import apple


def test_a_level_is_a_part_of_the_maps_range() -> None:
    heat = torch.tensor([[[2.0, 6.0], [2.0, 6.0]]])  # enlarged to 2, 3.33, 4.67, 6
    masks = level_masks(heat, [0.0, 0.5, 0.9], (1, 4))
    assert masks[:, 0, 0].tolist() == [[True] * 4, [False, False, True, True], [False, False, False, True]]


def test_an_empty_map_has_an_empty_mask() -> None:
    assert not level_masks(torch.zeros(1, 2, 2), [0.0, 0.5], (4, 4)).any()
    assert not authors_mask(torch.zeros(2, 2), 0.1, (4, 4)).any()


def test_the_authors_mask_loses_a_patch_that_stands_alone() -> None:
    heat = torch.zeros(12, 12)
    heat[1:7, 1:7] = 1.0
    heat[10, 10] = 1.0
    ours = level_masks(heat[None], [0.45], (48, 48))[0, 0]
    theirs = authors_mask(heat, 0.45, (48, 48))
    assert ours[16, 16]
    assert theirs[16, 16]
    assert ours[43, 43]
    assert not theirs[43, 43]
    assert not theirs[3, 3]  # the corner is rounded off
    assert ours[5, 5]


def test_a_mean_of_heads_is_masked_as_a_map_of_its_own() -> None:
    heat = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    heads = ((0, 0), (0, 1), (2, 0))
    cells = (*cells_of([((0, 1),)], [0.2, 0.4]), Cell(((0, 0), (2, 0)), 0.3))
    found = list(masks_of(cells, heat, heads, (8, 8), "level"))
    assert torch.equal(torch.stack(found[1]), level_masks(heat[1], [0.4], (8, 8))[0])
    assert torch.equal(torch.stack(found[2]), level_masks((heat[0] + heat[2]) / 2, [0.3], (8, 8))[0])
    theirs = list(masks_of(cells, heat, heads, (8, 8), "authors"))
    assert torch.equal(theirs[0][1], authors_mask(heat[1, 1], 0.2, (8, 8)))


@pytest.mark.parametrize(
    ("heat", "entropy"),
    [
        ([[9, 9, 0, 0], [9, 9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], 0.0),
        ([[9, 0, 0, 9], [0, 0, 0, 0], [0, 0, 0, 0], [9, 0, 0, 9]], math.log(4)),
        ([[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], 0.0),  # neighbours by a corner
        ([[1, 1], [1, 1]], math.log(4)),
    ],
)
def test_spatial_entropy_counts_parts_by_their_mass(heat: list[list[int]], entropy: float) -> None:
    assert spatial_entropy(np.array(heat, float)) == pytest.approx(entropy)


def test_heads_are_measured_where_there_is_no_float64() -> None:
    maps = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert measure(HeadLook(0, 0, apple(maps), apple(maps), 1.0)) == measure(HeadLook(0, 0, maps, maps, 1.0))
    assert (authors_mask(apple(maps[0]), 0.5, (16, 16)) == authors_mask(maps[0], 0.5, (16, 16))).all()


def test_a_compact_head_is_better_by_every_measure_that_asks_for_it() -> None:
    compact, scattered = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    compact[0, :2, :2] = compact[1, 2:, 2:] = 0.25
    scattered[:, ::3, ::3] = 0.25
    one, other = (measure(HeadLook(0, i, m, m, float(m.sum()))) for i, m in enumerate((compact, scattered)))
    assert set(one) == set(MEASURES)
    assert all(one[name] > other[name] for name in ("spatial-entropy", "spread", "overlap"))
    assert one["relevance"] == pytest.approx(2.0)
    assert one["attention-sum"] == pytest.approx(1.0)
