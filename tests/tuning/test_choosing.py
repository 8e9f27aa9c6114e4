"""Halving, the bootstrap and the authors' optimiser on tables of numbers."""

import numpy as np
import pytest

from pnpovss.tuning.annealing import RANDOM_TRIALS, TRIALS, anneal, random_search
from pnpovss.tuning.cells import THRESHOLDS, cells_of
from pnpovss.tuning.certainty import certainty, means_of_draws
from pnpovss.tuning.halving import Round, rounds, survivors


def test_a_third_of_the_cells_goes_on_to_thrice_the_photos() -> None:
    assert rounds(150, 720) == [Round(16, 720), Round(48, 240), Round(144, 80), Round(150, 27)]
    assert rounds(48, 40) == [Round(16, 40), Round(48, 14)]
    assert rounds(10, 40) == [Round(10, 40)]


def test_the_best_survive_and_so_does_what_must() -> None:
    rewards = np.array([[1.0, 5, 3, 2, 9], [1, 5, 3, 4, 9]])
    assert survivors(rewards, [0, 1, 2, 3], 2, "aaaaa") == [1, 2]
    assert survivors(rewards, [0, 1, 2, 3], 2, "aaaaa", always=(0, 4)) == [0, 1, 2]


def test_a_cell_of_each_of_the_best_heads_stays_to_the_end() -> None:
    rewards = np.array([[9.0, 8, 7, 6, 5, 4, 3, 2]])
    assert survivors(rewards, range(8), 1, "aabbcdef") == [0, 2, 4, 5]
    assert survivors(rewards, [0, 2, 4, 5], 1, "aabbcdef") == [0, 2, 4, 5]


def test_where_there_is_nothing_to_win_against_how_sure_is_unknown() -> None:
    rewards = np.random.default_rng(0).random((20, 2))
    sure = certainty(rewards, ["a", "a"])
    assert (sure.wins, sure.lead, sure.undecided) == (None, None, ())
    assert sure.cell_wins is not None
    assert certainty(rewards[:, :1], ["a"]).cell_wins is None


def test_a_winner_of_every_photo_wins_every_draw() -> None:
    rewards = np.random.default_rng(0).random((20, 4))
    rewards[:, 2] += 1.5
    sure = certainty(rewards, ["a", "a", "b", "c"])
    assert (sure.winner, sure.wins, sure.cell_wins, sure.undecided) == (2, 1.0, 1.0, ())
    assert sure.lead is not None
    value, low, high = sure.lead
    assert 0 < low < value < high


def test_thresholds_of_one_head_share_its_wins() -> None:
    random = np.random.default_rng(1)
    base = random.random((30, 1))
    rewards = np.concatenate([base + 0.01 * random.random((30, 2)), base - 0.5], 1)
    sure = certainty(rewards, ["a", "a", "b"])
    assert sure.wins == 1
    assert sure.cell_wins is not None
    assert 0 < sure.cell_wins < 1
    assert sure.runner_up == 2


def test_heads_that_cannot_be_told_apart_are_named() -> None:
    rewards = np.random.default_rng(2).random((20, 3))
    rewards[:, 2] -= 2
    sure = certainty(rewards, ["a", "b", "c"])
    assert sure.undecided == (sure.runner_up,)
    assert sure.lead is not None
    assert sure.lead[1] < 0 < sure.lead[2]


def test_equals_share_the_draws() -> None:
    rewards = np.repeat(np.random.default_rng(4).random((20, 1)), 3, 1)
    sure = certainty(rewards, ["a", "a", "b"])
    assert (sure.wins, sure.cell_wins) == (0.5, pytest.approx(1 / 3))
    assert sure.undecided == (2,)
    assert sure.lead == (0, 0, 0)


def test_the_mean_of_draws_is_that_of_the_photos() -> None:
    rewards = np.random.default_rng(3).random((50, 2))
    assert means_of_draws(rewards).mean(0) == pytest.approx(rewards.mean(0), abs=0.01)
    assert means_of_draws(rewards, 5).std() > 2 * means_of_draws(rewards, 50).std()


def test_annealing_walks_by_one_coordinate_and_finds_more_than_chance() -> None:
    cells = cells_of([((layer, head),) for layer in range(12) for head in range(12)], THRESHOLDS)
    random = np.random.default_rng(4)
    smooth = np.array([-abs(c.heads[0][0] - 7) - abs(c.heads[0][1] - 9) - 5 * c.threshold for c in cells])
    better = 0
    for seed in range(30):
        path = anneal(cells, smooth, seed=seed)
        assert len(path) == TRIALS
        better += smooth[path].max() > smooth[random.choice(len(cells), TRIALS)].max()
    assert better >= 15
    assert anneal(cells, smooth, seed=5) == anneal(cells, smooth, seed=5)
    assert len(random_search(cells)) == RANDOM_TRIALS
    assert anneal(cells[:1], smooth[:1]) == [0] * TRIALS
