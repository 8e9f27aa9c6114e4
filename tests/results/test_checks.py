"""A segmentation whose parts do not fit together cannot be made."""

from typing import Any

import numpy as np
import pytest

from pnpovss.errors import InvalidInputError
from pnpovss.names import Name
from pnpovss.results.heatmaps import HeatMaps
from tests.support.results import hand_made, labelled

F = np.float32


def scores(value: float) -> np.ndarray:
    return np.full((3, 4, 6), value, F)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"labels": np.zeros((4, 6), np.int64)},
            r"labels are int64 of shape \(4, 6\); expected uint8",
        ),
        ({"labels": [[0]]}, "labels are a list; expected an array of uint8"),
        ({"labels": np.zeros((1, 4, 6), np.uint8)}, r"labels are uint8 of shape \(1, 4, 6\)"),
        ({"labels": np.full((4, 6), 4, np.uint8)}, r"labels hold 4; expected one of \[0, 1, 2, 3\]"),
        ({"labels": np.zeros((1, 2), np.uint8)}, r"scores are float32 of shape \(3, 4, 6\); expected .*\(3 1 2\)"),
        ({"scores": scores(0.3).astype(float)}, "scores are float64"),
        ({"scores": scores(1.5)}, r"scores range from 1.5 to 1.5; expected values in \[0, 1\]"),
        ({"scores": scores(-0.5)}, "scores range from -0.5"),
        ({"scores": scores(np.nan)}, "scores range from nan to nan"),
        ({"background_score": np.full((4, 6), np.inf, F)}, "background scores range from inf"),
        ({"background_score": np.zeros((6, 4), F)}, r"background scores are float32 of shape \(6, 4\)"),
        ({"background_score": None}, r"labels hold 0; expected one of \[1, 2, 3\]"),
        ({"kept": (0, 1)}, r"scores are float32 of shape \(3, 4, 6\); expected float32 of shape \(2 4 6\)"),
        ({"kept": (0, 1, 1)}, r"kept is \(0, 1, 1\); expected positions among 3 names, in order, each once"),
        ({"kept": (0, 1, 3)}, r"kept is \(0, 1, 3\)"),
        ({"kept": (2, 1, 0)}, r"kept is \(2, 1, 0\)"),
        ({"names": ()}, "0 names; expected 1 to 65,535"),
        ({"match": None}, "match is None with 3 kept names"),
        ({"match": 1.5}, "match is 1.5; expected a probability"),
        ({"match": float("nan")}, "match is nan"),
        ({"name_match": (0.5, 0.5)}, "2 match scores for 3 names; expected one each"),
        ({"name_match": (0.5, 0.5, float("inf"))}, "name_match is inf"),
    ],
)
@pytest.mark.wrong_types
def test_what_does_not_fit_is_refused(replaced: dict[str, Any], message: str):
    with pytest.raises(InvalidInputError, match=message):
        hand_made(**replaced)


def test_pixels_of_a_name_that_was_left_out_are_refused():
    with pytest.raises(InvalidInputError, match=r"labels hold 2; expected one of \[0, 1\]"):
        labelled([[1, 2]], ["cat", "cup"], kept=(0,))
    with pytest.raises(InvalidInputError, match=r"match is 0\.5 with 0 kept names"):
        labelled([[0, 0]], ["cat", "cup"], kept=(), match=0.5)


def test_no_pixels_and_too_many_names_are_refused():
    with pytest.raises(InvalidInputError, match="at least one pixel"):
        labelled(np.zeros((0, 3)), ["cat"])
    with pytest.raises(InvalidInputError, match="65536 names"):
        hand_made(names=(Name("cat"),) * 65_536)


@pytest.mark.parametrize(
    ("names", "words", "word_maps", "message"),
    [
        (np.zeros((1, 2, 2), F), ("a",), np.zeros((2, 2, 2), F), "heat maps of words are .*expected .*(1 2 2)"),
        (np.zeros((1, 2, 2), F), ("a",), np.zeros((1, 2, 3), F), "heat maps of words are"),
        (np.zeros((1, 2, 2)), (), np.zeros((0, 2, 2), F), "heat maps of names are float64"),
        (np.full((1, 2, 2), np.nan, F), (), np.zeros((0, 2, 2), F), "heat maps of names range from nan"),
        (np.zeros((1, 1, 1), F), ("a",), np.full((1, 1, 1), np.inf, F), "heat maps of words range from inf"),
        (np.full((1, 2, 2), -1, F), (), np.zeros((0, 2, 2), F), "expected finite values from 0 on"),
    ],
)
@pytest.mark.wrong_types
def test_heat_maps_that_do_not_fit_are_refused(
    names: np.ndarray, words: tuple[str, ...], word_maps: np.ndarray, message: str
):
    with pytest.raises(InvalidInputError, match=message):
        HeatMaps(names, words, word_maps)


@pytest.mark.parametrize("word", [-1, 2])
def test_a_word_of_a_name_is_one_of_the_words(word: int):
    with pytest.raises(InvalidInputError, match=f"word {word} is said to belong to a name; there are 2 words"):
        HeatMaps(np.zeros((1, 2, 2), F), ("a", "b"), np.zeros((2, 2, 2), F), (0, word))


def test_a_heat_map_for_each_kept_name():
    maps = np.zeros((2, 2, 2), F)
    with pytest.raises(InvalidInputError, match="2 heat maps for 3 kept names"):
        hand_made(heatmaps=HeatMaps(maps, ("a", "b"), maps))
