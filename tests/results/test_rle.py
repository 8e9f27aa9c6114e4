"""Our run-length encoding against pycocotools, which defines it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from pnpovss.results import rle

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@given(masks)
def test_same_string_as_pycocotools(mask: np.ndarray):
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = rle.encode(mask)
    assert ours["size"] == list(theirs["size"])
    assert ours["counts"] == theirs["counts"].decode()
    assert (coco.decode({**ours, "counts": str(ours["counts"]).encode()}) == mask).all()


@given(masks)
def test_decode_undoes_encode(mask: np.ndarray):
    assert (rle.decode(rle.encode(mask)) == mask).all()
    assert (rle.decode(rle.encode(mask, compressed=False)) == mask).all()


@given(st.lists(st.integers(0, 2**31 - 1), max_size=30))
def test_unpack_undoes_pack(counts: list[int]):
    assert rle.unpack(rle.pack(counts)) == counts


def test_long_runs_and_photo_sizes():
    rng = np.random.default_rng(0)
    mask = np.zeros((375, 500), bool)
    mask[100:300, 50:400] = True
    mask ^= rng.random(mask.shape) < 0.01
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle.encode(mask)["counts"] == theirs["counts"].decode()


def test_uncompressed_counts_by_hand():
    mask = np.array([[1, 0, 0], [1, 1, 0]], bool)
    assert rle.encode(mask, compressed=False) == {"size": [2, 3], "counts": [0, 2, 1, 1, 2]}


def test_counts_that_do_not_fill_the_mask_are_refused():
    with pytest.raises(ValueError, match="runs of 5 pixels do not fill a mask of 2 x 3"):
        rle.decode({"size": [2, 3], "counts": [2, 3]})
