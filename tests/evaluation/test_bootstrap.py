import weakref

import numpy as np
import pytest

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.measures import bootstrap
from pnpovss.evaluation.measures.bootstrap import (
    LEAST,
    ImageCounts,
    compare,
    difference,
    interval,
    mean_interval,
    mean_intervals,
)
from pnpovss.evaluation.measures.confusion import Confusion


def photos(rates, pixels=100):
    """One class each of background and thing, a photo for each rate of hits."""
    return [
        Confusion.from_sparse([[0, 0, pixels], [1, 1, round(rate * pixels)], [1, 0, round((1 - rate) * pixels)]], 2)
        for rate in rates
    ]


def test_the_value_is_the_data_sets_own_miou():
    parts = photos([0.1, 0.5, 0.9, 0.7, 0.2, 0.4, 0.3, 0.6, 0.8, 0.5])
    found = interval(ImageCounts.of(parts))
    assert found.value == pytest.approx(Confusion.total(parts, 2).miou)
    assert found.low < found.value < found.high


def test_matrices_of_photos_that_come_one_by_one_are_let_go():
    alive: list[weakref.ref[np.ndarray]] = []

    def one_by_one():
        for confusion in photos(np.linspace(0.1, 0.9, 20)):
            counts = confusion.counts.copy()
            alive.append(weakref.ref(counts))
            yield Confusion(counts)
            del counts
            assert sum(each() is not None for each in alive) <= 2

    compared = compare({"one by one": one_by_one(), "at once": photos(np.linspace(0.1, 0.9, 20))})
    assert compared["one by one"].own == compared["at once"].own
    assert sum(each() is not None for each in alive) == 0


def test_some_of_the_photos_are_counted_as_they_are_alone():
    parts = photos([0.1, 0.5, 0.9, 0.3])
    some = ImageCounts.of(parts).chosen([1, 3])
    assert interval(some).value == interval(ImageCounts.of([parts[1], parts[3]])).value


def test_a_draw_is_the_miou_of_the_photos_drawn():
    parts = photos([0.1, 0.5, 0.9])
    drawn = ImageCounts.of(parts).miou(np.array([[2.0, 0, 1], [0, 0, 0]]))
    assert drawn[0] == pytest.approx(Confusion.total([parts[0], parts[0], parts[2]], 2).miou)
    assert np.isnan(drawn[1])


def test_equal_photos_leave_no_doubt():
    found = interval(ImageCounts.of(photos([0.5] * 10)))
    assert found.low == pytest.approx(found.value) == pytest.approx(found.high)


def test_more_photos_make_the_interval_narrower():
    random = np.random.default_rng(0)
    rates = random.random(400)
    few, many = (interval(ImageCounts.of(photos(rates[:n]))) for n in (20, 400))
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_pairing_sees_a_small_gain_that_the_spread_of_photos_hides():
    random = np.random.default_rng(1)
    rates = 0.8 * random.random(60)
    worse, better = ImageCounts.of(photos(rates)), ImageCounts.of(photos(rates + 0.05))
    assert interval(better).low < interval(worse).high, "apart, they overlap"
    gain = difference(better, worse)
    assert gain.excludes_zero
    assert gain.value == pytest.approx(interval(better).value - interval(worse).value)
    assert difference(worse, better).high < 0
    assert not difference(worse, worse).excludes_zero


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    everyone = ImageCounts.of(photos(random.random(4000), pixels=1000))
    truth = float(everyone.miou(np.ones((1, 4000)))[0])
    held = 0
    for _ in range(100):
        chosen = random.integers(0, 4000, 50)
        found = interval(ImageCounts(everyone.hits[chosen], everyone.union[chosen]), draws=300)
        held += found.low <= truth <= found.high
    assert 86 <= held <= 100


def test_a_handful_of_photos_has_no_interval():
    few, enough = (interval(ImageCounts.of(photos([0.1, 0.9] * (n // 2)))) for n in (LEAST - 2, LEAST))
    assert (few.is_known, few.ends) == (False, None)
    assert few.value == pytest.approx(interval(ImageCounts.of(photos([0.1, 0.9]))).value)
    assert not few.excludes_zero
    assert enough.is_known
    assert enough.ends == [enough.low, enough.high]


def test_the_mean_of_objects_is_drawn_photo_by_photo():
    """Two kinds of photos, alike within: as uncertain as the photos, not as their many objects."""
    alone = [[0.2]] * 10 + [[0.8]] * 10
    many = [[0.2] * 50] * 10 + [[0.8] * 50] * 10
    one, other = mean_interval(alone), mean_interval(many)
    assert (one.value, other.value) == pytest.approx((0.5, 0.5))
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    assert mean_interval([[0.0], [0.5, 1.0]]).value == pytest.approx(0.5)


def test_several_values_of_the_same_things_have_the_intervals_that_each_has_alone():
    random = np.random.default_rng(3)
    counts = random.integers(1, 6, 30)
    values = [[random.integers(0, 3, n).astype(float).tolist() for n in counts] for _ in range(3)]
    sums = np.array([[sum(photo) for photo in each] for each in values]).T
    assert mean_intervals(sums, counts.astype(float)) == [mean_interval(each) for each in values]


def test_draws_of_as_many_photos_are_made_once_and_few_are_kept(monkeypatch):
    """They take most of the time, and a sweep over heads asks thousands of times."""
    made: list[int] = []
    drawn = bootstrap._drawn

    def counting(photos, draws, seed):
        made.append(photos)
        return drawn(photos, draws, seed)

    bootstrap._kept.cache_clear()
    monkeypatch.setattr(bootstrap, "_drawn", counting)
    values = [[0.0, 1.0], [1.0], [0.5]] * 7
    first = mean_interval(values)
    assert mean_interval(values) == first
    interval(ImageCounts.of(photos([0.1, 0.9] * 10 + [0.5])))
    assert made == [21]
    for count in range(30, 30 + 2 * bootstrap.KEPT):
        mean_interval([[1.0]] * count)
    assert bootstrap._kept.cache_info().currsize == bootstrap.KEPT
    bootstrap._kept.cache_clear()
    monkeypatch.setattr(bootstrap, "MOST_KEPT", 0)  # as for very many photos
    assert mean_interval(values) == first
    assert bootstrap._kept.cache_info().currsize == 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InvalidInputError, match="at least one photo"):
        ImageCounts.of([])
    with pytest.raises(InvalidInputError, match="the same photos, got 1 and 2"):
        difference(ImageCounts.of(photos([0.1])), ImageCounts.of(photos([0.1, 0.2])))
