"""Names that the model holds to be absent are told, left out or painted."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pnpovss.config import Settings
from pnpovss.hints.doubts import doubts
from pnpovss.hints.looks_like import looks_like
from pnpovss.segmenter import Segmenter
from tests.support.fakes import FakeBackbone
from tests.support.results import PROVENANCE, labelled

CARD = FakeBackbone().card
CAT = Path(__file__).parents[2] / "examples" / "cat.jpg"


def test_a_name_that_mini_paints_and_doubts():
    """The rocket gets pixels of a cat only where the method is not told to leave absent names out."""
    small, asked = {"image_size": 320}, ["cat", "rocket"]
    segmenter = Segmenter.from_pretrained("mini", preset="paper", settings=small)
    result = segmenter(CAT, asked, name_match=True)
    [line] = doubts(result, segmenter.backbone.card)
    assert line.startswith("hardly there, by its match score: 'rocket' (match 0.0")
    assert "'cat'" not in line
    advice = re.search(r"--set (\S+)=(\S+), with neither --presence nor --without presence", line)
    assert advice
    advised = {**small, advice[1]: float(advice[2])}
    assert Segmenter.from_pretrained("mini", preset="paper", settings=advised)(CAT, asked).kept == (0,)


def test_names_that_are_left_out():
    own = replace(PROVENANCE, config=Settings.model_validate({**PROVENANCE.config.model_dump(), "presence": {}}))
    scores = (0.9, 0.04, 0.001)
    result = labelled([[1, 1, 0]], ["cat", "cup", "rocket"], kept=(0,), name_match=scores, provenance=own)
    assert doubts(result, CARD) == [
        "left out as absent: 'cup' (match 0.04), 'rocket' (match 0.00) (more: docs/presence.md)"
    ]
    assert not [line for line in looks_like(result) if "cup" in line or "rocket" in line]


def test_the_match_is_no_reason_where_another_decided():
    """GPT-4o says that no cup is there; the model's own score of it would read like an error."""
    assert PROVENANCE.config.presence is None
    result = labelled([[1, 1, 0]], ["cat", "cup"], kept=(0,), name_match=(0.9, 0.97))
    assert doubts(result, CARD) == ["left out as absent: 'cup' (more: docs/presence.md)"]


def test_nothing_that_was_asked_for():
    result = labelled([[0, 0]], ["cup", "\x1b[31mrocket"], kept=())
    assert doubts(result, CARD) == [
        r"nothing that was asked for is held to be in the photo: 'cup', '\x1b[31mrocket' (more: docs/presence.md)"
    ]
    assert looks_like(result) == []


@pytest.mark.parametrize("match", [None, (0.9,)])
def test_names_that_are_there_are_not_doubted(match: tuple[float, ...] | None):
    assert doubts(labelled([[1, 0]], ["cat"], name_match=match), CARD) == []


def test_a_score_that_is_no_yes_or_no_casts_no_doubt():
    """CLIP's and SigLIP's scores of what is there may be a thousandth."""
    result = labelled([[1, 0]], ["cat"], name_match=(0.003,))
    assert len(doubts(result, CARD)) == 1
    assert doubts(result, FakeBackbone(settings={"presence": None}).card) == []
