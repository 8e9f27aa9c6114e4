import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpovss.presence import Presence, PresenceQuality
from pnpovss.presence.quality import average_precision


def test_by_hand():
    quality = PresenceQuality()
    quality.add(Presence((0, 1), (0.9, 0.8, 0.1)), (0,))
    quality.add(Presence((1,), (0.2, 0.6, 0.3)), (1, 2))
    assert quality.precision == pytest.approx(2 / 3)
    assert quality.recall == pytest.approx(2 / 3)
    assert quality.mean_kept == 1.5
    assert quality.mean_there == 1.5
    # Name 0: first. Name 1: second of two. Name 2: first.
    assert quality.average_precisions == pytest.approx((1, 0.5, 1))
    assert quality.as_dict() == pytest.approx(
        {"photos": 2, "precision": 2 / 3, "recall": 2 / 3, "average_precision": 2.5 / 3, "kept_per_photo": 1.5}
    )


def test_names_in_no_photo_are_left_out():
    quality = PresenceQuality()
    quality.add(Presence((), (0.1, 0.2)), (0,))
    assert math.isnan(quality.average_precisions[1])
    assert quality.as_dict()["average_precision"] == 1
    assert quality.as_dict()["precision"] is None
    assert PresenceQuality().as_dict()["recall"] is None


def test_average_precision_by_hand():
    there = np.array([True, False, True, False])
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.6]), there) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(np.zeros(4), there) == pytest.approx(0.5)  # all tied: the share that is there


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_average_precision_equals_its_definition(photos):
    scores = np.array([score / 5 for score, _ in photos])
    there = np.array([is_there for _, is_there in photos])
    if not there.any():
        assert math.isnan(average_precision(scores, there))
        return
    expected, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        picked = scores >= threshold
        step = (there & picked).sum() / there.sum()
        expected += (step - recall) * there[picked].mean()
        recall = step
    assert average_precision(scores, there) == pytest.approx(expected)
