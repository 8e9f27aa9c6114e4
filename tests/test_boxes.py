"""The judge by boxes, on regions small enough to count."""

import numpy as np
import pytest

from benchmarks.boxes import Thing, box_mask, judge, judge_photo, region_boxes, summary

LEFT_HALF = Thing("cat", ((0.0, 0.0, 0.5, 1.0),), area=0.25)  # half of its box is the thing


def region(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_what_lies_inside_may_all_be_right_up_to_the_true_area() -> None:
    judged = judge(region("#...", "#..."), (0.1, 0.1), LEFT_HALF)
    assert (judged.hit, judged.union) == (0.25, 0.25)
    assert (judged.inside, judged.size, judged.pointed) == (1.0, 0.25, True)


def test_more_than_the_true_area_is_wrong_even_inside() -> None:
    judged = judge(region("##..", "##.."), (0.1, 0.1), LEFT_HALF)
    assert (judged.hit, judged.union) == (0.25, 0.5)
    assert judged.box_iou == 1.0


def test_what_lies_outside_is_wrong() -> None:
    judged = judge(region("#..#", "...#"), (0.9, 0.9), LEFT_HALF)
    assert judged.hit == 0.125
    assert judged.union == 0.25 + 0.25
    assert judged.inside == pytest.approx(1 / 3)
    assert not judged.pointed


def test_boxes_of_parts_leave_out_specks() -> None:
    found = np.zeros((20, 20), bool)
    found[2:4, 5:10] = True
    found[19, 19] = True  # a quarter of a percent
    assert region_boxes(found) == [(0.25, 0.1, 0.5, 0.2)]


def test_a_photo_is_judged_by_the_boxes_of_its_own_size() -> None:
    assert box_mask(LEFT_HALF.boxes, (3, 10)).sum() == 15


def test_things_without_boxes_are_not_judged() -> None:
    labels = np.array([[1, 2], [1, 2]])
    heat = np.zeros((2, 2, 2))
    heat[0, 1, 0] = 1
    judged = judge_photo(labels, heat, [LEFT_HALF, Thing("dog", (), area=0.0)])
    assert [(each.name, each.pointed) for each in judged] == [("cat", True)]


def test_the_bound_sums_over_photos_before_the_mean_over_classes() -> None:
    good, bad = judge(region("#...", "#..."), (0, 0), LEFT_HALF), judge(region("...#", "...#"), (0.9, 0.9), LEFT_HALF)
    values = summary([good, bad])
    assert values["bound"] == pytest.approx(100 * 0.25 / (0.25 + 0.5))
    assert (values["inside"], values["pointing"]) == (50, 50)
    assert values["times too large 20%-100%"] == 1
