import numpy as np
import pytest

from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.regions import find_regions
from pnpovss.evaluation.report.failures import failures_of, find_failures
from tests.support.masks import box, teeth


def marks(truth, guess):
    [region] = find_regions(truth.astype(int), guess.astype(int), background=0)
    return failures_of(region)


OBJECT = box(30, 30, 60, 60)


@pytest.mark.parametrize(
    ("guess", "expected"),
    [
        (OBJECT, []),
        (box(0, 0, 10, 10), ["missed"]),
        (box(10, 10, 90, 90), ["over-segmentation"]),
        (box(30, 30, 42, 60), ["under-segmentation"]),
        (OBJECT | box(0, 0, 4, 4) | box(0, 20, 4, 24) | box(90, 90, 95, 95), ["fragments"]),
        (box(30, 30, 60, 68), []),
    ],
)
def test_each_mark_by_its_picture(guess, expected):
    assert marks(OBJECT, guess) == expected


def test_a_rough_outline_is_jagged_unless_the_object_is_rough_itself():
    smooth = box(30, 10, 90, 90)
    assert marks(smooth, teeth()) == ["jagged"]
    assert marks(teeth(), teeth()) == []


def test_what_is_not_there_cannot_fail():
    assert marks(box(0, 0, 0, 0), OBJECT) == []


def test_confusion_names_the_other_class_and_leaves_the_background_out():
    truth, guess = np.zeros((100, 100), int), np.zeros((100, 100), int)
    truth[:50] = 1
    guess[:20] = 2
    guess[20:45] = 1
    counts = Confusion.of(truth, guess, 3)
    found = find_failures("p", find_regions(truth, guess, 0), counts, truth.shape, background=0)
    [finding] = [f for f in found if f.failure == "confusion"]
    assert (finding.label, finding.other, finding.share) == (1, 2, pytest.approx(0.4))
    called_background = Confusion.of(truth, np.where(guess == 2, 0, guess), 3)
    regions = find_regions(truth, np.where(guess == 2, 0, guess), 0)
    assert "confusion" not in {f.failure for f in find_failures("p", regions, called_background, truth.shape, 0)}


def test_a_few_pixels_decide_nothing():
    truth = np.zeros((100, 100), int)
    truth[0, :5] = 1
    assert find_failures("p", find_regions(truth, truth * 0, 0), Confusion.of(truth, truth * 0, 2), (100, 100), 0) == []
