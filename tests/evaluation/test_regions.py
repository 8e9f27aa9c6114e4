import numpy as np
import pytest

from pnpovss.evaluation.measures.regions import Region, boundary_band, edge_share, find_regions
from pnpovss.results.outlines import pieces, roughness
from tests.support.masks import blank, box, teeth


def test_pieces_are_counted_without_specks():
    assert pieces(blank()) == 0
    assert pieces(box(10, 10, 20, 20) | box(50, 50, 60, 60)) == 2
    assert pieces(box(10, 10, 20, 20) | box(50, 50, 52, 52)) == 1
    assert pieces(box(0, 0, 1, 1)) == 1, "a mask is at least one piece"
    assert pieces(box(10, 10, 20, 20) | box(20, 20, 30, 30)) == 1, "corners touch"


def test_the_boundary_is_as_wide_as_two_percent_of_the_diagonal():
    band = boundary_band(box(20, 20, 80, 80))
    assert band.sum() == 60 * 60 - 54 * 54  # 3 px of 141
    assert boundary_band(np.ones((100, 100), bool)).sum() == 100 * 100 - 94 * 94, "the frame is outline"
    assert not boundary_band(blank()).any()


def test_smooth_shapes_are_smooth_and_teeth_are_rough():
    rows, columns = np.mgrid[:100, :100]
    disk = (rows - 50) ** 2 + (columns - 50) ** 2 < 900
    assert roughness(disk) == pytest.approx(1, abs=0.05)
    assert roughness(box(20, 20, 80, 80)) == pytest.approx(1, abs=0.05)
    assert roughness(box(20, 0, 80, 100)) == pytest.approx(1, abs=0.05), "cut by the frame"
    assert roughness(teeth()) > 1.3
    noise = np.random.default_rng(0).random((100, 100)) < 0.5
    assert roughness(noise) > 2 or roughness(noise) == 1
    assert roughness(blank()) == 1


def test_regions_by_hand():
    truth, guess = np.zeros((100, 100), int), np.zeros((100, 100), int)
    truth[20:60, 20:60] = 1
    truth[0, :] = -1
    guess[20:60, 20:80] = 1
    guess[0:5, 0:10] = 2
    one, two = find_regions(truth, guess, background=0)
    assert (one.label, one.truth, one.predicted, one.hit) == (1, 1600, 2400, 1600)
    assert (one.recall, one.precision, one.iou) == (1, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (two.label, two.truth, two.predicted) == (2, 0, 40), "ignored pixels count nowhere"
    assert (two.recall, two.precision) == (0, 0)
    inner, outer = boundary_band(truth == 1), boundary_band(guess == 1)
    assert (one.boundary_hit, one.boundary_union) == ((inner & outer).sum(), (inner | outer).sum())
    assert Region(*one.row) == one
    assert [region.label for region in find_regions(truth, guess, background=None)] == [0, 1, 2]


def test_a_perfect_mask_has_boundary_iou_1():
    truth = np.zeros((60, 60), int)
    truth[10:40, 5:50] = 3
    [region] = find_regions(truth, truth, background=0)
    assert region.boundary_hit == region.boundary_union > 0


def test_busy_photos_have_more_edges():
    plain = np.full((120, 160, 3), 128, np.uint8)
    stripes = plain.copy()
    stripes[:, ::16] = 255
    assert edge_share(plain) == 0
    assert edge_share(stripes) > 0.05
