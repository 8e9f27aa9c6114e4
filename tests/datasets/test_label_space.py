import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpovss.config import Background
from pnpovss.datasets import IGNORE, NOTHING, LabelSpace
from pnpovss.errors import DatasetError
from pnpovss.names import Name

CAT, DOG, SKY = Name("cat", ("kitten",)), Name("dog"), Name("sky")


def space(**changes) -> LabelSpace:
    fields = {
        "key": "toy",
        "names": (CAT, DOG, SKY),
        "ids": (7, 3, 9),
        "background_id": 0,
        "ignored": frozenset({255}),
        "background": Background(),
    }
    return LabelSpace(**{**fields, **changes})


def test_truth_by_hand():
    values = np.array([[0, 7, 3], [9, 255, 7]], np.uint8)
    with_background = space().truth(values)
    assert with_background.tolist() == [[0, 1, 2], [3, IGNORE, 1]]
    assert space().classes == ("background", "cat", "dog", "sky")
    without = space(background_id=None, ignored=frozenset({0, 255}))
    assert without.truth(values).tolist() == [[IGNORE, 0, 1], [2, IGNORE, 0]]
    assert without.classes == ("cat", "dog", "sky")


def test_merged_values_count_as_their_class():
    merged = space(ignored=frozenset(), merged=((255, 0), (8, 9)))
    assert merged.truth(np.array([[255, 8, 9, 0]])).tolist() == [[0, 3, 3, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_unknown_values_are_named_with_their_pixels(dtype):
    values = np.array([[0, 4, 4], [7, 250, 3]], dtype)
    with pytest.raises(
        DatasetError, match=r"mask values 4 \(2 px\), 250 \(1 px\) are no class of toy .* 0, 3, 7, 9, 255"
    ):
        space().truth(values)


def test_values_past_the_table_are_unknown():
    with pytest.raises(DatasetError, match=r"65535 \(1 px\)"):
        space().truth(np.array([[65535, 0]], np.uint16))


def test_present_leaves_background_and_void_out():
    truth = space().truth(np.array([[0, 9, 7], [255, 9, 7]]))
    assert space().present(truth) == (0, 2)
    assert space().present(np.full((2, 2), IGNORE)) == ()


@settings(max_examples=40, deadline=None)
@given(
    asked=st.permutations(range(3)).flatmap(lambda order: st.integers(1, 3).map(lambda n: order[:n])),
    flat=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    counted=st.booleans(),
)
def test_predicted_equals_pixel_by_pixel(asked, flat, counted):
    labels = np.array([[min(value, len(asked)) for value in flat]], np.uint8)
    toy = space() if counted else space(background_id=None)
    expected = [
        (0 if counted else NOTHING) if label == 0 else toy.classes.index(toy.names[asked[label - 1]].text)
        for label in labels[0]
    ]
    assert toy.predicted(labels, asked).tolist() == [expected]


def test_predicted_does_not_collide():
    # In place, 1 -> 2 and then 2 -> 1 would leave one class.
    assert space().predicted(np.array([[1, 2, 0]]), [1, 0]).tolist() == [[2, 1, 0]]


def test_predicted_refuses_what_was_not_asked():
    with pytest.raises(DatasetError, match="label 2 is none of the 1 names"):
        space().predicted(np.array([[2]]), [0])
    with pytest.raises(DatasetError, match="names 0 to 2, was asked for 3"):
        space().predicted(np.array([[1]]), [3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": (1, 2)}, "3 names, but 2 mask values"),
        ({"ids": (1, 2, 1)}, "mask value 1 has two meanings"),
        ({"ids": (1, 2, 255)}, "mask value 255 has two meanings"),
        ({"ids": (1, 2, 70000)}, "70000 cannot be stored"),
        ({"merged": ((8, 4),)}, "merged into 4, which is the value of no class"),
        ({"names": (), "ids": ()}, "no class beside the background"),
    ],
)
def test_impossible_spaces(changes, message):
    with pytest.raises(DatasetError, match=message):
        space(**changes)
