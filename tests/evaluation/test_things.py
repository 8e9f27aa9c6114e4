"""Panoptic quality, average precision and the fates of things, against other implementations and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.detection import PanopticQuality

from pnpovss.datasets.base import Thing
from pnpovss.evaluation.measures.mask_ap import Marked, average_precision
from pnpovss.evaluation.measures.panoptic import PanopticCounts
from pnpovss.evaluation.measures.things import fates, neighbours, own_peaks
from pnpovss.results.rle import decode, encode


def thing(*columns: int, row: int = 1, crowd: bool = False, width: int = 20) -> Thing:
    """One row of pixels; those from the first to before the last column are the thing's."""
    mask = np.zeros((1, width), bool)
    mask[0, columns[0] : columns[1]] = True
    return Thing(row, mask, crowd)


def counted(truth: list[Thing], found: list[Thing], void: np.ndarray | None = None) -> PanopticCounts:
    return PanopticCounts.of(truth, found, np.zeros((1, 20), bool) if void is None else void, 3)


def test_panoptic_quality_by_hand():
    counts = counted([thing(0, 10), thing(12, 16)], [thing(0, 8), thing(12, 13), thing(18, 20, row=2)])
    assert counts.iou.tolist() == [0, 0.8, 0]
    assert (counts.matched.tolist(), counts.false.tolist(), counts.missed.tolist()) == (
        [0, 1, 0],
        [0, 1, 1],
        [0, 1, 0],
    )
    assert counts.quality[1].tolist() == pytest.approx([0.4, 0.8, 0.5])
    assert counts.quality[2].tolist() == [0, 0, 0]
    assert np.isnan(counts.quality[0]).all()
    assert counts.means == pytest.approx((0.2, 0.4, 0.25))


def test_half_is_not_enough():
    assert counted([thing(0, 10)], [thing(0, 5)]).matched.sum() == 0
    assert counted([thing(0, 10)], [thing(0, 6)]).matched.sum() == 1


def test_pixels_without_truth_count_in_no_union():
    void = np.zeros((1, 20), bool)
    void[0, 10:20] = True
    assert counted([thing(0, 10)], [thing(0, 20)]).matched.sum() == 0
    assert counted([thing(0, 10)], [thing(0, 20)], void).iou[1] == 1


def test_what_lies_mostly_in_a_crowd_of_its_class_or_in_nothing_is_left_out():
    crowd = thing(0, 6, crowd=True)
    assert counted([crowd], [thing(0, 10)]).false.sum() == 0
    assert counted([crowd], [thing(0, 12)]).false.sum() == 1
    assert counted([crowd], [thing(0, 10, row=2)]).false.sum() == 1
    assert counted([crowd], []).missed.sum() == 0
    void = np.zeros((1, 20), bool)
    void[0, :6] = True
    assert counted([], [thing(0, 10)], void).false.sum() == 0


def test_counts_add_up():
    one, two = counted([thing(0, 10)], [thing(0, 8)]), counted([thing(0, 10)], [])
    total = one + two
    assert (total.iou[1], total.matched[1], total.missed[1]) == (0.8, 1, 1)
    assert all(np.isnan(value) for value in PanopticCounts.none(3).means)


def segments(
    random: np.random.Generator, like: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Class and number of each pixel: blocks, or those of another map with some pixels changed."""
    if like is None:
        return random.integers(0, 3, (4, 5)).repeat(4, 0).repeat(4, 1), np.arange(20).reshape(4, 5).repeat(4, 0).repeat(
            4, 1
        )
    classes, numbers = like
    changed = random.random(classes.shape) < random.random()
    return np.where(changed, np.roll(classes, 2, 1), classes), np.where(changed, np.roll(numbers, 2, 1), numbers)


def as_things(classes: np.ndarray, numbers: np.ndarray) -> list[Thing]:
    pairs = sorted({(int(row), int(number)) for row, number in zip(classes.ravel(), numbers.ravel(), strict=True)})
    return [Thing(row, (classes == row) & (numbers == number)) for row, number in pairs if row < 3]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_panoptic_quality_is_that_of_torchmetrics(seed):
    random = np.random.default_rng(seed)
    truth = segments(random)
    found = segments(random, truth)
    void = random.random(truth[0].shape) < 0.1
    truth = (np.where(void, 9, truth[0]), np.where(void, 0, truth[1]))  # 9 is no class: void there
    ours = PanopticCounts.of(as_things(*truth), as_things(*found), void, 3)
    theirs = PanopticQuality(
        things={0, 1, 2}, stuffs={9}, allow_unknown_preds_category=True, return_sq_and_rq=True, return_per_class=True
    )
    # Theirs has a class for what is no thing; ours leaves it out, so that it must not be in the truth: unknown there.
    known = np.where(void, 77, truth[0])
    theirs.update(
        torch.tensor(np.stack(found, -1))[None].int(), torch.tensor(np.stack([known, truth[1]], -1))[None].int()
    )
    expected = theirs.compute()[:3].numpy()
    assert np.nan_to_num(ours.quality) == pytest.approx(expected, abs=1e-6)


def marked(first: int, last: int, row: int = 1, score: float = 1.0, crowd: bool = False) -> Marked:
    mask = np.zeros((40, 100), bool)
    mask[:, first:last] = True
    return Marked(row, encode(mask), score, crowd)


def test_average_precision_by_hand():
    truth = [marked(0, 20), marked(40, 60)]
    both = average_precision([(truth, [marked(0, 20, score=0.9), marked(40, 60, score=0.8)])])
    assert (both["ap"], both["ap50"]) == (1, 1)
    one = average_precision([(truth, [marked(0, 20, score=0.9), marked(70, 90, score=0.8)])])
    assert one["ap50"] == pytest.approx(51 / 101)  # precision 1 up to recall 0.5, at 101 levels
    late = average_precision([(truth, [marked(70, 90, score=0.9), marked(0, 20, score=0.8)])])
    assert late["ap50"] == pytest.approx(0.5 * 51 / 101)
    # IoU 0.8: found at the seven levels from 0.5 to 0.8.
    short = average_precision([([marked(0, 20)], [marked(0, 16)])])
    assert short["ap"] == pytest.approx(0.7)
    assert short["small"] == pytest.approx(0.7)  # 800 pixels
    assert np.isnan(short["medium"])


def test_what_is_found_has_the_size_of_its_mask_and_not_of_its_box():
    slanted = np.zeros((200, 200), bool)
    for i in range(150):
        slanted[i : i + 4, i] = True  # 600 pixels: small; its box would be large
    small = np.zeros((200, 200), bool)
    small[150:170, 10:30] = True
    found = [Marked(1, encode(small), 0.5), Marked(1, encode(slanted), 0.9)]
    assert average_precision([([Marked(1, encode(small))], found)])["small"] == pytest.approx(0.5)


def test_average_precision_is_the_mean_over_classes_and_crowds_are_not_to_be_found():
    truth = [marked(0, 20, row=1), marked(40, 60, row=2), marked(60, 100, row=2, crowd=True)]
    found = [marked(0, 20, row=1), marked(65, 95, row=2, score=0.9)]
    assert average_precision([(truth, found)])["ap50"] == pytest.approx(0.5)
    assert average_precision([(truth, [])])["ap"] == 0
    assert np.isnan(average_precision([([], [])])["ap"])


def plain_precision(photos: list[tuple[list[Marked], list[Marked]]], row: int, least: float) -> float:
    """Average precision of a class at one IoU, in plain loops: precision at 101 levels of recall, each the best from
    there on; whoever is surer takes what it overlaps most, first.
    """
    hits, truths = [], 0
    for truth, found in photos:
        free = [decode(each.mask) for each in truth if each.row == row]
        truths += len(free)
        for guess in sorted((each for each in found if each.row == row), key=lambda each: -each.score):
            own = decode(guess.mask)
            overlaps = [(own & mask).sum() / (own | mask).sum() for mask in free]
            right = max(overlaps, default=0) >= least
            if right:
                del free[int(np.argmax(overlaps))]
            hits.append((guess.score, right))
    right = np.cumsum([each for _, each in sorted(hits, reverse=True)])
    recall, precision = right / truths, right / np.arange(1, len(right) + 1)
    levels = np.linspace(0, 1, 101)
    return float(np.mean([max(precision[recall >= level], default=0) for level in levels]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_average_precision_on_random_things_is_that_of_plain_loops(seed):
    random = np.random.default_rng(seed)
    levels, photos = np.linspace(0.5, 0.95, 10), []
    for _ in range(int(random.integers(1, 4))):
        truth, found = [], []
        for place in range(6):
            row, first = int(random.integers(1, 3)), 16 * place
            width = int(random.integers(5, 16))
            if random.random() < 0.8:
                truth.append(marked(first, first + width, row))
            if random.random() < 0.8:
                start = first + int(random.integers(0, 4))
                found.append(marked(start, first + int(random.integers(5, 16)), row, score=float(random.random())))
        photos.append((truth, found))
    rows = sorted({thing.row for truth, _ in photos for thing in truth})
    ours = average_precision(photos)
    if rows and any(found for _, found in photos):
        plain = np.array([[plain_precision(photos, row, level) for level in levels] for row in rows])
        assert ours["ap"] == pytest.approx(plain.mean(), abs=1e-6)
        assert (ours["ap50"], ours["ap75"]) == pytest.approx((plain[:, 0].mean(), plain[:, 5].mean()), abs=1e-6)


def test_each_fate():
    truth = [thing(0, 4), thing(4, 8), thing(10, 14), thing(16, 20)]
    assert fates(truth, [thing(0, 8), thing(10, 12), thing(12, 14)]) == ["merged", "merged", "cut up", "missed"]
    assert fates(truth, [thing(0, 4), thing(4, 8), thing(9, 14), thing(16, 20, row=2)]) == [
        "apart",
        "apart",
        "apart",
        "missed",
    ]
    # A piece that takes a little of a neighbour has not swallowed it.
    assert fates(truth[:2], [thing(0, 4), thing(4, 8)]) == ["apart", "apart"]
    assert fates([thing(0, 8), thing(8, 16)], [thing(0, 9), thing(9, 16)]) == ["apart", "apart"]


def test_who_is_near():
    among = neighbours([thing(0, 4), thing(4, 8), thing(15, 16), thing(5, 6, row=2)])
    assert [each.count for each in among] == [3, 3, 3, 1]
    assert [each.touches for each in among] == [True, True, False, False]
    assert [each.share for each in among] == [0.2, 0.2, 0.05, 0.05]
    box = np.zeros((4, 4), bool)
    box[0, :] = True
    other = np.zeros((4, 4), bool)
    other[:, 0] = True
    assert [each.overlap for each in neighbours([Thing(1, box), Thing(1, other)])] == [1 / 7, 1 / 7]


def test_a_peak_belongs_to_the_smallest_thing_that_holds_it():
    heat = np.zeros((1, 20), np.float32)
    heat[0, [2, 9, 15]] = (3, 2, 1)
    summits = (heat > 0).astype(np.int32) * np.array([heat[0].astype(int)])
    things = [thing(0, 8), thing(10, 14), thing(14, 18), thing(0, 20)]
    assert own_peaks(things[:3], summits, heat, reach=1) == [1, 1, 1]
    assert own_peaks([things[0], things[3]], summits, heat, reach=1) == [1, 2]
