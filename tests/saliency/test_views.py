"""Views of a photo, by arithmetic: what is shown to the model, and where its maps are put."""

import numpy as np
import pytest
import torch
from PIL import Image

from pnpovss.config import Config, ViewSettings
from pnpovss.errors import ConfigError
from pnpovss.saliency.views import CORNERS, WHOLE, View, merge_views, take_view, views_of
from pnpovss.segmenter import Segmenter
from tests.support.fakes import FakeBackbone, colour_backbone

HALVES = ViewSettings(mirror=False, tiles=(0.5,), tiles_weight=0.5)


def photo(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_off_means_one_look_at_the_whole_photo() -> None:
    assert views_of(None) == (WHOLE,)
    image = photo(4, 6)
    assert take_view(image, WHOLE) is image


def test_the_whole_photo_comes_first_then_its_mirror_image_then_the_corners() -> None:
    first, second, *tiles = views_of(ViewSettings(mirror=True, tiles=(0.6,)))
    assert (first, second, *tiles) == (WHOLE, View(mirrored=True), *CORNERS)
    assert [(tile.down, tile.right) for tile in tiles] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_tiles_of_each_part_are_spaced_evenly_row_by_row() -> None:
    _, *tiles = views_of(ViewSettings(mirror=False, tiles=(0.6, 0.5), tiles_across=3))
    assert [tile.share for tile in tiles] == [0.6] * 9 + [0.5] * 9
    assert [tile.right for tile in tiles[:4]] == [0, 0.5, 1, 0]
    assert [tile.down for tile in tiles[:4]] == [0, 0, 0, 0.5]


def test_tiles_that_leave_gaps_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"2 tiles of 0.4 of a side leave gaps; take more"):
        Config.preset("default", {"views.tiles": [0.6, 0.4]})
    assert Config.preset("default", {"views.tiles": [0.6, 0.4], "views.tiles_across": 3}).views is not None


def test_a_share_of_tiles_is_taken_once() -> None:
    with pytest.raises(ConfigError, match=r"tiles \[0.6, 0.6\] name a share twice"):
        Config.preset("default", {"views.tiles": [0.6, 0.6]})


def test_a_mirrored_view_swaps_left_and_right() -> None:
    image = photo(3, 5)
    seen = np.asarray(take_view(image, View(mirrored=True)))
    assert np.array_equal(seen, np.asarray(image)[:, ::-1])


def test_tiles_reach_into_their_corners_and_overlap() -> None:
    image = photo(20, 10)
    pixels = np.asarray(image)
    assert np.array_equal(np.asarray(take_view(image, View(0.6))), pixels[:12, :6])
    assert np.array_equal(np.asarray(take_view(image, View(0.6, down=1, right=1))), pixels[8:, 4:])
    assert np.array_equal(np.asarray(take_view(image, View(0.6, down=0.5, right=0.5))), pixels[4:16, 2:8])


def test_a_mirrored_map_is_turned_back_before_the_mean() -> None:
    plain, mirrored = torch.tensor([[[4.0, 0], [0, 0]]]), torch.tensor([[[0.0, 2], [6, 0]]])
    mean = merge_views([plain, mirrored], views_of(ViewSettings()), ViewSettings())
    assert mean.tolist() == [[[3.0, 0], [0, 3]]]


def test_tiles_lie_where_they_were_taken_and_count_by_their_share_of_the_photo() -> None:
    whole = torch.zeros(1, 2, 2)
    tiles = [torch.full((1, 2, 2), value) for value in (1.0, 2.0, 3.0, 4.0)]
    merged = merge_views([whole, *tiles], views_of(HALVES), HALVES)
    # A tile is a quarter of the photo: its values are four times as dense; half of that is its weight.
    assert merged.tolist() == [[[2, 2, 4, 4], [2, 2, 4, 4], [6, 6, 8, 8], [6, 6, 8, 8]]]


def test_overlapping_tiles_are_averaged() -> None:
    settings = ViewSettings(mirror=False, tiles=(0.67,), tiles_weight=1.0)  # 2 of 3 cells: the middle is in all four
    tiles = [torch.full((1, 2, 2), value) for value in (0.0, 0.0, 0.0, 8.0)]
    merged = merge_views([torch.zeros(1, 2, 2), *tiles], views_of(settings), settings) * 0.67**2
    assert merged[0].numpy() == pytest.approx(np.array([[0, 0, 0], [0, 2, 4], [0, 4, 8]]))


def test_an_even_map_stays_even_whatever_the_views() -> None:
    # The model spreads 1 over the whole photo, and so a quarter of it over each tile.
    settings = ViewSettings(mirror=True, tiles=(0.5,))
    even = torch.full((1, 4, 4), 1 / 16)
    merged = merge_views([even, even, *[even / 4] * 4], views_of(settings), settings)
    torch.testing.assert_close(merged, torch.full((1, 8, 8), 1 / 16))


def test_tiles_of_several_parts_are_averaged_on_the_finest_grid() -> None:
    settings = ViewSettings(mirror=False, tiles=(0.67, 0.5), tiles_across=2, tiles_weight=1.0)
    views, empty = views_of(settings), torch.zeros(1, 2, 2)
    larger, smaller = (
        [torch.full((1, 2, 2), 0.67**2 * 3)] * 4,
        [torch.full((1, 2, 2), 0.25 * value) for value in range(4)],
    )
    merged = merge_views([empty, *larger, *smaller], views, settings)
    # 3 everywhere by the larger tiles; 0, 1, 2, 3 by the smaller ones, in their corners.
    assert merged[0].numpy() == pytest.approx(np.kron([[1.5, 2], [2.5, 3]], np.ones((2, 2))))


def test_a_tile_in_the_middle_lies_in_the_middle() -> None:
    settings = ViewSettings(mirror=False, tiles=(0.5,), tiles_across=3, tiles_weight=1.0)
    tiles = [torch.full((1, 2, 2), 0.25 if place == 4 else 0.0) for place in range(9)]
    merged = merge_views([torch.zeros(1, 2, 2), *tiles], views_of(settings), settings)
    # Cells are seen by one tile in the corners, by two at the rims, and by four in the middle.
    assert merged[0].numpy() == pytest.approx(np.pad(np.full((2, 2), 0.25), 1))


@pytest.mark.parametrize(("side", "share"), [(20, 0.6), (20, 0.7), (21, 0.6), (24, 0.55)])
def test_a_patch_of_a_tile_is_put_where_it_was_seen_also_between_cells(side: int, share: float) -> None:
    settings = ViewSettings(mirror=False, tiles=(share,), tiles_weight=1.0)
    tiles = [torch.zeros(1, side, side) for _ in range(4)]
    tiles[1][..., 10] = 1.0  # a column of the upper right one
    merged = merge_views([torch.zeros(1, side, side), *tiles], views_of(settings), settings)[0]
    weight = merged[0] / merged[0].sum()  # the first row is seen by no lower tile
    middles = (torch.arange(len(weight)) + 0.5) / len(weight)
    assert float((weight * middles).sum()) == pytest.approx(1 - share + 10.5 / side * share, abs=0.25 / len(weight))


def test_tiles_whose_patches_fall_on_cells_are_not_blurred() -> None:
    settings = ViewSettings(mirror=False, tiles=(0.7,), tiles_weight=1.0)
    tiles = [torch.zeros(1, 21, 21) for _ in range(4)]
    tiles[3][0, 20, 20] = 1.0
    merged = merge_views([torch.zeros(1, 21, 21), *tiles], views_of(settings), settings)[0]
    assert merged.shape == (30, 30)
    assert merged.nonzero().tolist() == [[29, 29]]


def test_the_segmenter_averages_what_both_sides_show() -> None:
    backbone = FakeBackbone({"cat": [[8, 0], [0, 0]]})  # looks at the upper left, whatever is shown
    config = Config.preset("default", {"views.mirror": True, "threshold": None}).without("dropout", "blur", "crf")
    found = Segmenter(backbone, config)(photo(2, 2), ["cat"])
    assert found.heatmaps.names[0].tolist() == [[4, 4], [0, 0]]
    assert [len(pixels) for pixels in backbone.encoded] == [2]  # both at once
    assert torch.equal(backbone.encoded[0][1], backbone.encoded[0][0].flip(-1))


def test_off_gives_the_numbers_of_a_single_look() -> None:
    backbone, image = colour_backbone(), photo(30, 40)
    with_views = Config.preset("default", {"views.mirror": True, "views.tiles": [0.6]})
    off = Segmenter(backbone, with_views.without("views"))(image, ["red", "blue"])
    never = Segmenter(backbone, Config.preset("default"))(image, ["red", "blue"])
    assert np.array_equal(off.heatmaps.names, never.heatmaps.names)
    assert np.array_equal(off.scores, never.scores)
    assert off.heatmaps.names.shape == (2, 4, 4)


def test_the_match_is_that_of_the_whole_photo() -> None:
    backbone, image = colour_backbone(), photo(30, 40)
    plain = Segmenter(backbone, Config.preset("default"))(image, ["red"], name_match=True)
    views = Config.preset("default", {"views.mirror": True, "views.tiles": [0.6]})
    many = Segmenter(backbone, views)(image, ["red"], name_match=True)
    assert (many.match, many.name_match) == (plain.match, plain.name_match)


def test_a_batch_with_views_gives_what_single_photos_give() -> None:
    photos = [photo(30 + 7 * i, 40) for i in range(3)]
    names = [["red"], ["green", "blue"], ["blue", "red", "green"]]
    config = Config.preset("default", {"views.mirror": True, "views.tiles": [0.5]}).without("crf")
    segmenter = Segmenter(colour_backbone(), config)
    together = list(segmenter.stream(zip(photos, names, strict=True), batch_size=14))
    for image, its, batched in zip(photos, names, together, strict=True):
        np.testing.assert_allclose(segmenter(image, its).heatmaps.names, batched.heatmaps.names, atol=1e-6)


def test_the_preset_best_takes_every_view_and_what_else_the_model_was_tuned_to() -> None:
    default, best = (Segmenter.from_pretrained("mini", preset=preset).config for preset in ("default", "best"))
    assert best.views is not None
    assert best.replace({"views": default.model_dump()["views"]}) == default
    assert views_of(best.views)[:2] == (WHOLE, View(mirrored=True))
    assert len(views_of(best.views)) == 20


def test_presets_of_the_paper_look_once() -> None:
    assert Config.preset("paper").views is None
    assert Config.preset("authors").views is None
    assert Config.preset("default", {"views.tiles": [0.6]}).without("views").views is None
