import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.measures.confusion import Confusion

# Class 0 fills the upper half, 1 the lower left, 2 the lower right; one pixel is left out.
TRUTH = np.array([[0, 0, 0, 0], [0, 0, 0, -1], [1, 1, 2, 2], [1, 1, 2, 2]])
GUESS = np.array([[0, 0, 0, 1], [0, 0, 0, 2], [1, 1, 1, 2], [1, 0, 2, -1]])


def test_a_4_x_4_example_by_hand():
    found = Confusion.of(TRUTH, GUESS, 4)
    assert found.counts.tolist() == [
        [6, 1, 0, 0, 0],  # of 7 pixels of class 0, one was called 1
        [1, 3, 0, 0, 0],
        [0, 1, 2, 0, 1],  # the last column: one pixel was called none of the classes
        [0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(found.iou, [6 / 8, 3 / 6, 2 / 4, math.nan])
    assert found.miou == pytest.approx((0.75 + 0.5 + 0.5) / 3)
    assert found.pixel_accuracy == pytest.approx(11 / 15)
    assert found.frequency_weighted_iou == pytest.approx((7 * 0.75 + 4 * 0.5 + 4 * 0.5) / 15)
    np.testing.assert_allclose(found.recall, [6 / 7, 3 / 4, 2 / 4, math.nan])
    np.testing.assert_allclose(found.precision, [6 / 7, 3 / 5, 1, math.nan])


def test_a_class_that_was_only_predicted_has_iou_0_and_counts_in_the_mean_but_not_in_the_truths_mean():
    found = Confusion.of(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(found.iou, [0.75, math.nan, 0])
    assert found.miou == pytest.approx(0.375)
    assert found.miou_of_truth == pytest.approx(0.75)


def test_without_pixels_every_score_is_nan():
    empty = Confusion.of(np.full((2, 2), -1), np.zeros((2, 2), int), 3)
    assert empty.sparse == []
    assert all(map(math.isnan, [empty.miou, empty.pixel_accuracy, empty.frequency_weighted_iou, *empty.iou]))


@pytest.mark.parametrize(("classes", "ignored"), [(21, 255), (5, -1), (81, 255)])
def test_equal_to_torchmetrics_on_random_data(classes, ignored):
    classification = pytest.importorskip("torchmetrics.classification", reason="a development package")
    random = np.random.default_rng(classes)
    metric = {
        average: classification.MulticlassJaccardIndex(classes, average=average, ignore_index=ignored)
        for average in ("macro", "none")
    }
    accuracy = classification.MulticlassAccuracy(classes, average="micro", ignore_index=ignored)
    total = Confusion.empty(classes)
    for _ in range(4):
        truth = random.integers(0, classes, (3, 40, 50))
        guess = np.where(random.random(truth.shape) < 0.6, truth, random.integers(0, classes, truth.shape))
        truth[random.random(truth.shape) < 0.1] = ignored
        for each in (*metric.values(), accuracy):
            each.update(torch.from_numpy(guess), torch.from_numpy(truth))
        total = total + Confusion.of(np.where(truth == ignored, -1, truth), guess, classes)
    np.testing.assert_allclose(total.iou, metric["none"].compute(), rtol=1e-6)
    assert total.miou == pytest.approx(float(metric["macro"].compute()), rel=1e-6)
    assert total.pixel_accuracy == pytest.approx(float(accuracy.compute()), rel=1e-6)


def test_equal_to_torchmetrics_where_classes_are_absent_from_both():
    classification = pytest.importorskip("torchmetrics.classification", reason="a development package")
    metric = classification.MulticlassJaccardIndex(9, average="macro", ignore_index=255)
    truth, guess = np.array([0, 1, 1, 4, 255]), np.array([0, 1, 2, 4, 7])
    metric.update(torch.from_numpy(guess), torch.from_numpy(truth))
    assert Confusion.of(np.where(truth == 255, -1, truth), guess, 9).miou == pytest.approx(float(metric.compute()))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_merging_parts_equals_one_run(seed, parts):
    random = np.random.default_rng(seed)
    truth, guess = random.integers(-1, 6, (2, 120))
    whole = Confusion.of(truth, guess, 6)
    pairs = zip(np.array_split(truth, parts), np.array_split(guess, parts), strict=True)
    split = [Confusion.of(t, g, 6) for t, g in pairs]
    assert (Confusion.total(split, 6).counts == whole.counts).all()
    assert (sum(split, Confusion.empty(6)).counts == whole.counts).all()
    assert (Confusion.from_sparse(whole.sparse, 6).counts == whole.counts).all()


def test_counts_do_not_overflow_32_bits():
    huge = Confusion.from_sparse([[0, 0, 2**31], [0, 0, 2**31], [1, 1, 1]], 2)
    assert huge.hits.tolist() == [2**32, 1]


def test_a_wrong_shape_or_index_is_refused():
    with pytest.raises(InvalidInputError, match=r"truth has shape \(2, 2\) and prediction \(3, 3\)"):
        Confusion.of(np.zeros((2, 2), int), np.zeros((3, 3), int), 2)
    with pytest.raises(InvalidInputError, match="truth holds class indices 0 to 2; expected -1 to 1"):
        Confusion.of(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(InvalidInputError, match="prediction holds class indices -2 to 1"):
        Confusion.of(np.array([0, 1]), np.array([-2, 1]), 2)
    with pytest.raises(InvalidInputError, match="cannot add counts of 2 and 3 classes"):
        Confusion.empty(2) + Confusion.empty(3)
