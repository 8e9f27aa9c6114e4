"""Names that the model holds to be absent are told, left out or painted."""

from pathlib import Path

import pytest

from pnpovss.hints.doubts import doubts
from pnpovss.hints.looks_like import looks_like
from pnpovss.segmenter import Segmenter
from tests.support.results import labelled

CAT = Path(__file__).parents[2] / "examples" / "cat.jpg"


def test_a_name_that_mini_paints_and_doubts():
    """The rocket gets pixels of a cat only where the method is not told to leave absent names out."""
    result = Segmenter.from_pretrained("mini", preset="paper", settings={"image_size": 320})(
        CAT, ["cat", "rocket"], name_match=True
    )
    [line] = doubts(result)
    assert line.startswith("hardly there, by its match score: 'rocket' (match 0.0")
    assert "'cat'" not in line
    assert "without --presence" in line


def test_names_that_are_left_out():
    result = labelled([[1, 1, 0]], ["cat", "cup", "rocket"], kept=(0,), name_match=(0.9, 0.04, 0.001))
    assert doubts(result) == ["left out as absent: 'cup' (match 0.04), 'rocket' (match 0.00) (more: docs/presence.md)"]
    assert not [line for line in looks_like(result) if "cup" in line or "rocket" in line]


def test_nothing_that_was_asked_for():
    result = labelled([[0, 0]], ["cup", "\x1b[31mrocket"], kept=())
    assert doubts(result) == [
        r"nothing that was asked for is held to be in the photo: 'cup', '\x1b[31mrocket' (more: docs/presence.md)"
    ]
    assert looks_like(result) == []


@pytest.mark.parametrize("match", [None, (0.9,)])
def test_names_that_are_there_are_not_doubted(match: tuple[float, ...] | None):
    assert doubts(labelled([[1, 0]], ["cat"], name_match=match)) == []
