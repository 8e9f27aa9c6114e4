"""The Dense CRF against exact sums, against the original implementation, and torch against numba."""

import numpy as np
import pytest
import torch

from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian, infer_batch
from tests.support.crf_oracles import exact_q, pydensecrf_q, scene

METHOD = ([(3, 7.0)], [(50, 5, 10.0)])  # what the method uses, as pydensecrf_q takes it
BACKENDS = ["numba", "torch"]


def rng_matrix(labels: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 2, (labels, labels)).astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("gaussian", "bilateral", "iterations", "mean", "largest", "alike"),
    [
        # The lattice is an approximation. With weak terms Q is near the exact one; the method's strong terms drive
        # pixels to one side or the other, so that a small difference early is a large one at a few pixels later: there
        # only the mean and the labels say something.
        ((3, 1), (8, 40, 1), 10, 0.005, 0.05, 0.99),
        ((3, 3), (8, 20, 4), 1, 0.01, 0.1, 0.99),
        ((3, 7), (50, 5, 10), 1, 0.02, 0.5, 0.98),
        ((3, 7), (50, 5, 10), 10, 0.06, None, 0.92),
    ],
)
def test_exact_sums(
    backend: str,
    gaussian: tuple[float, float],
    bilateral: tuple[float, float, float],
    iterations: int,
    mean: float,
    largest: float | None,
    alike: float,
) -> None:
    kernels = [
        (np.full(2, gaussian[0]), gaussian[1] * np.eye(3)),
        (np.array([*[bilateral[0]] * 2, *[bilateral[1]] * 3]), bilateral[2] * np.eye(3)),
    ]
    apart, same = [], []
    for seed in range(4):
        image, probabilities = scene(16, 16, 3, seed)
        crf = DenseCRF(image, [Gaussian(*gaussian), Bilateral(*bilateral)], backend=backend)
        result = crf.infer(probabilities=probabilities, iterations=iterations)
        exact = exact_q(image, -np.log(probabilities.clip(1e-5, 1)), kernels, iterations)
        apart.append(np.abs(result.q - exact))
        same.append(result.labels == exact.argmax(axis=0))
    assert np.mean(apart) <= mean
    assert largest is None or np.max(apart) <= largest
    assert np.mean(same) >= alike


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("height", "width", "labels"),
    [
        (1, 1, 1),
        (1, 1, 3),
        (1, 9, 2),
        (11, 1, 2),
        (5, 7, 4),
        (48, 61, 5),
        (40, 40, 8),
        (33, 50, 9),
        (30, 41, 21),
        (20, 23, 171),
    ],
)
@pytest.mark.extra("crf-oracle")
def test_original(backend: str, height: int, width: int, labels: int) -> None:
    image, probabilities = scene(height, width, labels)
    theirs, kl = pydensecrf_q(image, probabilities, *METHOD, 10)
    ours = DenseCRF(image, backend=backend).infer(probabilities=probabilities, diagnostics=True)
    assert np.abs(ours.q - theirs).max() < 1e-3
    assert (ours.labels == theirs.argmax(axis=0)).mean() >= 0.999
    # The original sums in float32.
    np.testing.assert_allclose(ours.kl, kl, rtol=1e-3, atol=1e-2)


@pytest.mark.extra("crf-oracle")
def test_original_over_several_bands_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    image, probabilities = scene(180, 200, 21)
    theirs, _ = pydensecrf_q(image, probabilities, *METHOD, 10)
    whole = DenseCRF(image, threads=3).infer(probabilities=probabilities)
    monkeypatch.setattr("pnpovss.densecrf.numba_.lattice.bands_for", lambda pixels: 4)  # as for a large image
    ours, alone = (DenseCRF(image, threads=n).infer(probabilities=probabilities) for n in (3, 1))
    assert np.array_equal(ours.q, alone.q)
    assert np.abs(ours.q - whole.q).max() < 1e-3
    assert np.abs(ours.q - theirs).max() < 1e-3
    assert (ours.labels == theirs.argmax(axis=0)).mean() >= 0.999


@pytest.mark.extra("crf-oracle")
@pytest.mark.parametrize("backend", BACKENDS)
def test_original_with_widths_per_axis_matrices_and_three_terms(backend: str) -> None:
    image, probabilities = scene(40, 52, 5)
    matrix = rng_matrix(5)
    diagonal = np.ascontiguousarray(matrix[0])
    theirs, _ = pydensecrf_q(
        image, probabilities, [((2, 4), matrix)], [((20, 30), (10, 12, 14), diagonal), (40, 8, 3.0)], 5
    )
    terms = [Gaussian((2, 4), matrix), Bilateral((20, 30), (10, 12, 14), diagonal), Bilateral(40, 8, 3.0)]
    ours = DenseCRF(image, terms, backend=backend).infer(probabilities=probabilities, iterations=5)
    assert np.abs(ours.q - theirs).max() < 1e-3


@pytest.mark.parametrize("labels", [2, 6, 21])
def test_torch_is_numba(labels: int) -> None:
    image, probabilities = scene(70, 90, labels)
    ours = DenseCRF(image).infer(probabilities=probabilities, diagnostics=True)
    theirs = DenseCRF(torch.from_numpy(image), backend="torch").infer(
        probabilities=torch.from_numpy(probabilities), diagnostics=True
    )
    assert isinstance(theirs.q, torch.Tensor)
    assert isinstance(theirs.labels, torch.Tensor)
    assert np.abs(ours.q - theirs.q.numpy()).max() < 1e-3
    assert (ours.labels == theirs.labels.numpy()).mean() >= 0.999
    np.testing.assert_allclose(ours.kl, theirs.kl, rtol=1e-4)
    np.testing.assert_allclose(ours.energy, theirs.energy, rtol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_its_images(backend: str) -> None:
    scenes = [scene(24, 31, 4, seed) for seed in range(3)]
    images, probabilities = (np.stack(arrays) for arrays in zip(*scenes, strict=True))
    batch = infer_batch(images, probabilities=probabilities, iterations=4, diagnostics=True, backend=backend)
    assert batch.q.shape == (3, 4, 24, 31)
    assert batch.kl is not None
    for i, (image, scores) in enumerate(scenes):
        alone = DenseCRF(image, backend=backend).infer(probabilities=scores, iterations=4, diagnostics=True)
        assert np.array_equal(batch.q[i], alone.q)
        assert np.array_equal(batch.labels[i], alone.labels)
        assert np.array_equal(batch.kl[i], alone.kl)


def test_energy_counts_each_pair_once() -> None:
    image, probabilities = scene(12, 13, 3)
    terms = [Gaussian(3, 2.0), Bilateral(10, 30, rng_matrix(3))]
    energies = -np.log(probabilities.clip(1e-5, 1))
    result = DenseCRF(image, terms).infer(energies=energies, iterations=0, diagnostics=True)
    q = result.q.astype(np.float64)
    entropy, unary = float((q * np.log(q)).sum()), float((q * energies).sum())
    assert result.kl is not None
    assert result.energy is not None
    twice = result.kl[0] - entropy - unary  # held against the original above
    assert result.energy[0] == pytest.approx(unary + twice / 2, rel=1e-6)
