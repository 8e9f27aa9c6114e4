"""Enlarging and blurring as two small matrix products, against doing both at full size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpovss.refine.enlarge import enlarge, enlarge_background
from pnpovss.refine.scores import threshold
from tests.support.refine_oracles import add_background, gaussian_blur, resize

GRIDS = st.tuples(st.integers(1, 9), st.integers(1, 9))
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


def enlarged(maps: torch.Tensor, size: tuple[int, int], sigma: float, out: tuple[int, int] | None = None) -> np.ndarray:
    scores = torch.full((1 + len(maps), *(out or size)), torch.nan)
    assert enlarge_background(maps, size, sigma, out=scores[0]) is not None
    enlarge(maps, size, sigma, out=scores[1:])
    return scores.numpy()


def some_maps(grid: tuple[int, int], seed: int, names: int = 3, empty: float = 0.6) -> torch.Tensor:
    """Non-negative, with patches of 0 as a threshold leaves them."""
    random = np.random.default_rng(seed)
    values = random.gamma(0.5, size=(names, *grid)) * (random.random((names, *grid)) > empty)
    return torch.from_numpy(values.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(grid=GRIDS, size=SIZES, sigma=st.floats(0, 40), seed=st.integers(0, 99))
def test_equals_resizing_and_then_blurring(
    grid: tuple[int, int], size: tuple[int, int], sigma: float, seed: int
) -> None:
    maps = some_maps(grid, seed)
    expected = add_background(resize(maps, size))
    if sigma:
        expected = gaussian_blur(expected, sigma)
    np.testing.assert_allclose(enlarged(maps, size, sigma), expected, atol=1e-5 * max(1, float(expected.max())))


@settings(max_examples=60, deadline=None)
@given(grid=GRIDS, size=SIZES, seed=st.integers(0, 99))
def test_the_background_is_exact(grid: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    maps = threshold(some_maps(grid, seed, empty=0.8), 0.15)
    assert np.array_equal(enlarged(maps, size, 0)[0], add_background(resize(maps, size))[0])


@pytest.mark.parametrize("size", [(375, 500), (960, 1280)])
def test_equals_at_the_size_of_photos_with_the_methods_blur(size: tuple[int, int]) -> None:
    maps = threshold(some_maps((20, 20), 0), 0.15)
    expected = gaussian_blur(add_background(resize(maps, size)), 0.05 * max(size))
    np.testing.assert_allclose(enlarged(maps, size, 0.05 * max(size)), expected, atol=1e-5)


def test_corners_are_aligned_and_edges_mirrored_by_hand() -> None:
    maps = torch.tensor([[[0.0, 2.0]]])
    assert enlarged(maps, (1, 3), 0).tolist() == [[[1, 0, 0]], [[0, 1, 2]]]
    near = np.exp(-0.5)  # one tap on each side: 4 sigma is 1.4 px
    far = np.exp(-0.5 / 0.35**2)
    a, b = 1 / (1 + 2 * far), far / (1 + 2 * far)
    assert near > far
    blurred = enlarged(maps, (1, 3), 0.35)[1, 0]
    assert blurred.tolist() == pytest.approx([a * 0 + b * 0 + b * 1, a * 1 + b * 2, a * 2 + b * 1 + b * 2], abs=1e-6)


def test_a_smaller_result_holds_the_means_of_areas() -> None:
    maps = some_maps((5, 6), 1)
    whole = enlarged(maps, (60, 90), 3.0)
    small = enlarged(maps, (60, 90), 3.0, out=(20, 45))
    np.testing.assert_allclose(small, whole.reshape(4, 20, 3, 45, 2).mean(axis=(2, 4)), atol=1e-6)
