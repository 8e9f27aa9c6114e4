"""Rewards by hand, and against loops over masked photos."""

import math

import numpy as np
import pytest
import torch

from pnpovss.errors import ConfigError
from pnpovss.names import Name
from pnpovss.tuning.rewards import REWARDS, keep_delete, margin, paper, reward_named, vocabulary
from pnpovss.tuning.similarities import Similarities, judged
from tests.support.tuning import ColourJudge


def by_hand() -> Similarities:
    """Two names of a vocabulary of three; cell 0 keeps the right half for each, cell 1 the wrong one."""
    rows = np.array(
        [
            [0.0, 0.0, 0.0],  # nothing
            [2.0, 0.0, 0.0],  # the part that shows the first name
            [0.0, 1.0, 3.0],  # the part that shows the second, and more of a third
        ]
    )
    kept, deleted = np.array([[1, 2], [2, 1]]), np.array([[2, 1], [1, 2]])
    return Similarities((0, 1), rows, kept, deleted)


def test_eq_6_counts_the_names_that_beat_a_black_image() -> None:
    # Pr over the two names: row 1 is e^2 : 1, row 2 is 1 : e, nothing is 1 : 1.
    assert paper(by_hand()).tolist() == [2, 0]


def test_eq_7_gives_one_name_nothing_to_win() -> None:
    seen = Similarities((0,), np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([[1]]), np.array([[0]]))
    assert paper(seen).tolist() == [0]
    assert margin(seen).tolist() == [0]
    assert keep_delete(seen)[0] > 0


def test_the_margin_says_by_how_much() -> None:
    first = math.log(math.e**2 / (math.e**2 + 1)) - math.log(0.5)
    second = math.log(math.e / (math.e + 1)) - math.log(0.5)
    assert margin(by_hand())[0] == pytest.approx((first + second) / 2)


def test_vocabulary_and_keep_minus_delete_count_the_third_name() -> None:
    kept = [2 - math.log(math.e**2 + 2), 1 - math.log(1 + math.e + math.e**3)]
    deleted = [0 - math.log(1 + math.e + math.e**3), 0 - math.log(math.e**2 + 2)]
    assert vocabulary(by_hand())[0] == pytest.approx(sum(kept) / 2)
    assert keep_delete(by_hand())[0] == pytest.approx((sum(kept) - sum(deleted)) / 2)


def test_rewards_do_not_depend_on_the_level_of_logits_and_do_not_overflow() -> None:
    seen = by_hand()
    far = Similarities(seen.names, seen.rows + 1e4, seen.kept, seen.deleted)
    for name, reward in REWARDS.items():
        assert reward(far) == pytest.approx(reward(seen), abs=1e-8), name


def test_an_unknown_reward_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'iou'; known: keep-delete, vocabulary, margin, paper"):
        reward_named("iou")


def test_a_photos_rewards_are_those_of_a_loop_over_masked_photos() -> None:
    random = torch.Generator().manual_seed(0)
    colours = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    pixels = colours[torch.randint(3, (16, 16), generator=random)].permute(2, 0, 1)
    words, names = [Name("red"), Name("green"), Name("blue")], (0, 2)
    masks = torch.rand(5, 2, 16, 16, generator=random) < torch.rand(5, 2, 1, 1, generator=random)
    masks[4] = masks[3]  # looked at once
    judge = ColourJudge()
    seen = judged(judge, pixels, names, [list(cell) for cell in masks], words, batch=3)
    assert judge.looks == 1 + 2 * 4 * 2
    slow = ColourJudge()

    def probabilities(mask: torch.Tensor, among: list[int]) -> torch.Tensor:
        return slow.logits((pixels * mask)[None], words)[0][among].softmax(0).double()

    nothing = torch.zeros(16, 16)
    for cell in range(5):
        counted, margins, kept_logs, differences = 0, [], [], []
        for place, name in enumerate(names):
            mask = masks[cell, place]
            own = probabilities(mask, list(names))[place], probabilities(nothing, list(names))[place]
            counted += int(own[0] > own[1])
            margins.append(float(own[0].log() - own[1].log()))
            kept, deleted = probabilities(mask, [0, 1, 2])[name].log(), probabilities(~mask, [0, 1, 2])[name].log()
            kept_logs.append(float(kept))
            differences.append(float(kept - deleted))
        assert paper(seen)[cell] == counted
        assert margin(seen)[cell] == pytest.approx(np.mean(margins), abs=1e-5)
        assert vocabulary(seen)[cell] == pytest.approx(np.mean(kept_logs), abs=1e-5)
        assert keep_delete(seen)[cell] == pytest.approx(np.mean(differences), abs=1e-5)
