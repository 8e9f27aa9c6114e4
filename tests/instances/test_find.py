"""From regions to things: whatever is cut, a name's region stays what it was."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpovss.config import InstanceSettings
from pnpovss.errors import InvalidInputError, MissingExtraError
from pnpovss.instances import cut
from pnpovss.instances.cut import peaks
from pnpovss.instances.find import check_installed, evidence, find_instances, gather
from pnpovss.instances.pieces import fill_nearest, merge_small, pieces, side_weights
from pnpovss.results.instances import Instances

GREY = np.full((20, 40, 3), 128, np.uint8)


def of(labels: np.ndarray, passes: np.ndarray, photo: np.ndarray | None = None, **chosen) -> Instances:
    """The things of a label map whose pixels are sure of their label."""
    count = int(labels.max(initial=0))
    scores = np.array([labels == i + 1 for i in range(count)], np.float32).reshape(count, *labels.shape)
    photo = np.full((*labels.shape, 3), 128, np.uint8) if photo is None else photo
    return find_instances(labels, scores, range(count), passes, photo, InstanceSettings(**chosen))


def hills(*rows: list[float]) -> np.ndarray:
    """Passes by one name: each row is the heat along a strip of patches, in one pass."""
    return np.array(rows, np.float32)[:, None, None, :]


STRIP = np.ones((20, 40), np.uint8)


def test_each_connected_piece_is_a_thing_and_corners_connect():
    labels = np.array([[1, 0, 2, 0, 1], [0, 1, 2, 0, 1]], np.uint8)
    found = of(labels, np.ones((1, 2, 1, 1), np.float32), split="pieces", smallest=0)
    assert found.map.tolist() == [[1, 0, 3, 0, 2], [0, 1, 3, 0, 2]]
    assert found.name_index == (0, 0, 1)
    assert [thing.box for thing in found] == [(0, 0, 2, 2), (4, 0, 1, 2), (2, 0, 1, 2)]
    assert found.scores == (1, 1, 1)


def test_more_things_than_16_bits_number_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pnpovss.instances.find._own", lambda *_: pytest.fail("the work was begun"))
    labels = np.zeros((512, 514), np.uint8)
    labels[::2, ::2] = 1
    with pytest.raises(InvalidInputError, match=r"65,792 things are more than can be numbered \(65,535\)"):
        of(labels, np.ones((1, 1, 1, 1), np.float32), split="pieces", smallest=0)


def test_whoever_asks_before_each_name_and_thing_can_end_it():
    labels, asked = np.array([[1, 0, 2, 0, 1]], np.uint8), []
    scores = np.array([labels == 1, labels == 2], np.float32)
    given = labels, scores, range(2), np.ones((1, 2, 1, 1), np.float32), np.zeros((1, 5, 3), np.uint8)
    find_instances(*given, InstanceSettings(split="pieces", smallest=0), lambda: asked.append(1))
    assert len(asked) == 2 + 3


def test_things_are_in_the_order_of_names_and_then_of_size():
    labels = np.array([[2, 0, 1, 0, 1, 1]], np.uint8)
    found = of(labels, np.ones((1, 2, 1, 1), np.float32), split="pieces", smallest=0)
    assert [(thing.index, thing.area, thing.number) for thing in found] == [(0, 2, 1), (0, 1, 2), (1, 1, 3)]


def test_a_piece_is_cut_where_the_valley_between_two_peaks_is_deep_enough():
    heat = hills([1, 10, 6, 4, 6, 10, 1])
    assert len(of(STRIP, heat, prominence=0.5)) == 2
    assert len(of(STRIP, heat, prominence=0.7)) == 1
    assert len(of(STRIP, heat, split="pieces")) == 1


@pytest.mark.parametrize("method", ["watershed", "random_walk"])
def test_the_cut_runs_through_the_valley_of_the_heat(method):
    found = of(STRIP, hills([0, 10, 2, 2, 10, 0]), prominence=0.5, edges=0, method=method)
    assert len(found) == 2
    assert [thing.area for thing in found] == pytest.approx([400, 400], abs=60)


@pytest.mark.parametrize("method", ["watershed", "random_walk"])
def test_the_cut_runs_along_a_colour_edge_where_edges_count(method):
    photo = GREY.copy()
    photo[:, 26:] = (255, 0, 0)
    found = of(STRIP, hills([10, 10, 4, 4, 4, 4, 10, 10]), photo, prominence=0.5, edges=1, method=method)
    assert sorted(thing.area for thing in found) == pytest.approx([14 * 20, 26 * 20], abs=40)


def test_a_region_in_a_corner_is_cut_where_its_own_valley_is():
    labels, heat = np.zeros((60, 120), np.uint8), np.zeros((1, 1, 3, 12), np.float32)
    labels[40:, 60:] = 1  # the right half of the lowest row of patches
    heat[0, 0, 2] = [9, 0, 9, 0, 9, 0, 1, 10, 1, 1, 10, 1]
    found = of(labels, heat, prominence=0.5, edges=0)
    assert [thing.area for thing in found] == pytest.approx([600, 600], abs=60)
    left, right = sorted(thing.box for thing in found)
    assert (left[0], left[0] + left[2], right[0] + right[2]) == (60, right[0], 120)
    own = [(thing.heat > 0).any(0).nonzero()[0].tolist() for thing in sorted(found, key=lambda thing: thing.box)]
    assert own == [[6, 7, 8], [9, 10, 11]]


@pytest.mark.parametrize("way", [cv2.INTER_AREA, cv2.INTER_LINEAR])
def test_two_products_resize_a_picture(way):
    picture = np.random.default_rng(0).random((37, 50)).astype(np.float32)
    for height, width in ((10, 14), (37, 20)) if way == cv2.INTER_AREA else ((80, 101), (20, 70)):
        rows, columns = side_weights(37, height, way), side_weights(50, width, way)
        resized = cv2.resize(picture, (width, height), interpolation=way)
        assert rows @ picture @ columns.T == pytest.approx(resized, abs=1e-5)


def test_the_sides_of_a_long_photo_take_no_square_of_it():
    tracemalloc.start()
    weights = side_weights(40_000, 37, cv2.INTER_AREA)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * weights.nbytes
    assert weights.sum(1) == pytest.approx(1)


def test_what_only_a_later_pass_sees_counts_once_each_pass_has_its_own_scale():
    passes = hills([0, 10, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0])
    assert len(of(STRIP, passes, prominence=0.3)) == 1
    assert len(of(STRIP, passes, prominence=0.3, evidence="passes")) == 2
    each = evidence(passes[:, 0], InstanceSettings(evidence="passes"))
    assert each.tolist() == [[0, 1, 0, 0, 1, 0]]


def test_small_pieces_join_the_nearest_thing_or_are_none():
    labels = np.zeros((4, 20), np.uint8)
    labels[:, :6] = labels[:, 12:] = labels[0, 7] = labels[0, 10] = 1
    heat = np.ones((1, 1, 1, 1), np.float32)
    joined = of(labels, heat, split="pieces", smallest=0.05)
    assert [thing.area for thing in joined] == [33, 25]
    dropped = of(labels, heat, split="pieces", smallest=0.05, small="drop")
    assert [thing.area for thing in dropped] == [32, 24]
    assert dropped.map[0, 7] == dropped.map[0, 10] == 0


def test_the_largest_piece_stays_however_small_it_is():
    labels = np.zeros((50, 50), np.uint8)
    labels[3, 3] = labels[40, 40:42] = 1
    found = of(labels, np.ones((1, 1, 1, 1), np.float32), smallest=0.5, small="drop")
    assert [thing.area for thing in found] == [2]


def test_each_thing_has_its_share_of_the_heat():
    labels = np.array([[1, 1, 0, 1]], np.uint8)
    found = of(labels, np.array([[[[4.0, 8.0]]]], np.float32), split="pieces", smallest=0)
    assert [thing.heat.tolist() for thing in found] == [[[4, 0]], [[0, 4]]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["watershed", "random_walk"]), st.booleans())
def test_the_union_of_a_names_things_is_its_region(seed, method, evident):
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(1, 70, 2))
    names = int(random.integers(1, 4))
    grid = tuple(int(side) for side in random.integers(1, 9, 2))
    coarse = random.integers(0, names + 1, (height // 5 + 1, width // 5 + 1)).astype(np.uint8)
    labels = np.kron(coarse, np.ones((5, 5), np.uint8))[:height, :width]
    labels[random.random(labels.shape) < 0.02] = 0
    passes = random.random((3, names, *grid)).astype(np.float32) ** 3
    photo = random.integers(0, 256, (height, width, 3), np.uint8)
    kept = np.arange(names)
    scores = np.array([labels == i + 1 for i in kept], np.float32)
    chosen = InstanceSettings(method=method, prominence=0.05, evidence="passes" if evident else "sum", smallest=0.01)
    found = find_instances(labels, scores, tuple(kept.tolist()), passes, photo, chosen)
    found.check_labels(labels)
    assert np.array_equal(found.map > 0, labels > 0)
    assert sum(thing.area for thing in found) == int((labels > 0).sum())
    whole = find_instances(
        labels, scores, tuple(kept.tolist()), passes, photo, chosen.model_copy(update={"smallest": 0})
    )
    for thing in whole:  # none crosses a gap: each is a part of one piece
        parts = pieces(labels == thing.index + 1)
        assert len(np.unique(parts[thing.mask])) == 1


def test_a_photo_without_any_name_holds_no_thing():
    found = find_instances(
        np.zeros((4, 5), np.uint8),
        np.zeros((0, 4, 5), np.float32),
        (),
        np.zeros((1, 0, 2, 2), np.float32),
        np.zeros((4, 5, 3), np.uint8),
        InstanceSettings(),
    )
    assert len(found) == 0
    assert found.map.shape == (4, 5)


def test_heat_that_is_nothing_cuts_nothing():
    assert len(of(STRIP, hills([0, 0, 0, 0]))) == 1


def test_peaks_are_plateaus_that_no_way_joins_above_the_pass():
    heat = np.array([[5.0, 4.9, 5.0, 1.0, 3.0]])
    everywhere = np.ones(heat.shape, bool)
    assert peaks(heat, everywhere, 0.2, 5.0).tolist() == [[1, 1, 1, 0, 2]]
    assert peaks(heat, everywhere, 0.5, 5.0).max() == 1
    apart = np.array([[True, False, True, True, True]])
    assert peaks(heat, apart, 0.2, 5.0).tolist() == [[1, 0, 2, 0, 3]]


def test_a_gap_of_the_region_is_no_way_from_peak_to_peak():
    parts = pieces(np.array([[True, False, True]]))
    assert parts.tolist() == [[1, 0, 2]]
    assert fill_nearest(np.array([[1, 0, 0, 0, 2]], np.int32), np.array([[1, 1, 0, 1, 1]], bool)).tolist() == [
        [1, 1, 0, 2, 2]
    ]


def test_nothing_small_changes_nothing():
    parts = np.array([[1, 1, 0, 2]], np.int32)
    assert merge_small(parts, 1, join=True) is parts


def test_a_missing_scikit_image_is_said_early(monkeypatch):
    def missing() -> None:
        raise MissingExtraError("Cutting", "instances")

    monkeypatch.setattr("pnpovss.instances.find.require_scikit_image", missing)
    check_installed(None)
    check_installed(InstanceSettings(split="pieces"))
    with pytest.raises(MissingExtraError, match=r"pnpovss\[instances\]"):
        check_installed(InstanceSettings(split="heat"))


def test_scikit_image_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skimage.segmentation", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pnpovss\[instances\]'"):
        cut.require_scikit_image()


def test_numbers_that_were_given_to_things_may_have_gaps():
    labels = np.array([[1, 1, 2, 0]], np.uint8)
    scores = np.array([[[0.5, 1, 0, 0]], [[0, 0, 0.25, 0]]], np.float32)
    found = gather(
        np.array([[7, 7, 3, 0]], np.int32), labels, scores, (0, 1), np.ones((2, 1, 1), np.float32), "someone"
    )
    assert found.map.tolist() == [[1, 1, 2, 0]]
    assert found.scores == (0.75, 0.25)
    assert found.redrawn_by == "someone"
