"""Whatever the numbers: a distribution over labels, or an error of our own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian
from pnpovss.errors import InvalidInputError

WIDTHS = st.one_of(
    st.floats(-320, 320).map(lambda power: 10**power if power < 308 else float("inf")), st.floats(0.1, 99)
)
WEIGHTS = st.one_of(st.floats(-20, 20), st.floats(allow_nan=True))
ENERGIES = st.one_of(st.floats(-50, 50), st.floats(allow_nan=True), st.just(float("inf")))
EXTREMES = st.sampled_from([0.0, -1e30, 1e30, 3e38, 1e-40, 255.0])


@pytest.mark.parametrize("backend", ["numba", "torch"])
@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    labels=st.integers(1, 5),
    seed=st.integers(0, 9),
    widths=st.tuples(WIDTHS, WIDTHS, WIDTHS),
    weights=st.tuples(WEIGHTS, WEIGHTS),
    energies=st.lists(ENERGIES, min_size=1, max_size=6),
    extreme=EXTREMES,
)
def test_any_widths_weights_and_energies(
    backend: str,
    size: tuple[int, int],
    labels: int,
    seed: int,
    widths: tuple[float, float, float],
    weights: tuple[float, float],
    energies: list[float],
    extreme: float,
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8 if seed % 2 else np.float32)
    if image.dtype == np.float32:
        image[0, 0, 0] = extreme
    values = rng.choice(np.array(energies), (labels, *size))
    try:
        terms = [Gaussian(widths[0], weights[0]), Bilateral(widths[1], widths[2], weights[1])]
        result = DenseCRF(image, terms, backend=backend).infer(energies=values, iterations=3)
    except InvalidInputError:
        return
    assert (result.q >= 0).all()
    np.testing.assert_allclose(result.q.sum(axis=0), 1, atol=1e-5)
    assert (result.q[values == np.inf] == 0).all()


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("width", [0.01, 0.03])
def test_a_width_far_below_a_pixel_is_no_neighbourhood(backend: str, width: float) -> None:
    """Every pixel is its own neighbour alone, so that one update adds its own Q times the weight."""
    image = np.zeros((6, 7, 3), np.uint8)
    probabilities = np.random.default_rng(0).uniform(0.2, 0.8, (1, 6, 7)).astype(np.float32)
    probabilities = np.concatenate([probabilities, 1 - probabilities])
    q = DenseCRF(image, [Gaussian(width, 2.0)], backend=backend).infer(probabilities=probabilities, iterations=1).q
    expected = np.exp(np.log(probabilities) + 2 * probabilities)
    np.testing.assert_allclose(q, expected / expected.sum(axis=0), atol=1e-4)
