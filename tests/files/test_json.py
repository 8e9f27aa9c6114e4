"""JSON of finite numbers, in and out."""

import json
import math

import numpy as np
import pytest

from pnpovss.errors import InvalidInputError
from pnpovss.files.json import from_json, to_json


def test_what_goes_in_comes_out():
    value = {"name": "Кошка 猫", "n": [1, 0.1, True, None], "pair": {"a": {}}}
    assert from_json(to_json(value)) == value
    assert from_json(to_json(value, indent=1)) == value
    assert to_json({"a": [1, 2]}) == b'{"a":[1,2]}'
    assert json.loads(to_json({"file": "a\udcff.jpg"})) == {"file": "a\udcff.jpg"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused_by_their_place(number: float):
    with pytest.raises(InvalidInputError, match=rf"names\[1\]\.score is {number}; JSON holds"):
        to_json({"names": [{"score": 0.5}, {"score": number}]})
    with pytest.raises(InvalidInputError, match=f"the value is {number}"):
        to_json(number)


def test_other_kinds_are_refused_by_their_place():
    with pytest.raises(InvalidInputError, match=r"shares\[0\] is a ndarray"):
        to_json({"shares": (np.zeros(2),)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "the number 1e999 is too large"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "no JSON"),
        (b'"\xff"', "no JSON"),
        ("", "no JSON"),
        ('{"a"', "no JSON"),
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes, message: str):
    with pytest.raises(InvalidInputError, match=message):
        from_json(text)
