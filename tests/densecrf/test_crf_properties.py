"""What must hold of a Dense CRF whatever the photo: on both backends."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian
from tests.support.crf_oracles import scene

BACKENDS = ["numba", "torch"]
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 9), st.integers(0, 99))


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=15, deadline=None)
@given(size=SIZES)
def test_q_is_a_distribution(backend: str, size: tuple[int, int, int, int]) -> None:
    image, probabilities = scene(*size)
    result = DenseCRF(image, backend=backend).infer(probabilities=probabilities)
    assert result.q.dtype == np.float32
    assert result.labels.dtype == np.int32
    assert result.q.flags.c_contiguous
    assert (result.q >= 0).all()
    np.testing.assert_allclose(result.q.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(result.labels, result.q.argmax(axis=0))


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=15, deadline=None)
@given(size=SIZES)
def test_terms_of_no_weight_give_the_unary_back(backend: str, size: tuple[int, int, int, int]) -> None:
    image, probabilities = scene(*size)
    clipped = probabilities.clip(1e-5, 1)
    expected = clipped / clipped.sum(axis=0)
    for terms in ([Gaussian(compat=0), Bilateral(compat=0)], [Gaussian(compat=np.zeros(size[2]))], []):
        result = DenseCRF(image, terms, backend=backend).infer(probabilities=probabilities)
        np.testing.assert_allclose(result.q, expected, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_photo_that_is_drawn_over_afterwards_changes_nothing(backend: str) -> None:
    image, probabilities = scene(30, 27, 3)
    expected = DenseCRF(image.copy(), backend=backend).infer(probabilities=probabilities).q
    crf = DenseCRF(image, backend=backend)
    image[:] = 255 - image
    np.testing.assert_array_equal(crf.infer(probabilities=probabilities).q, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("labels", [3, 7, 18])
def test_permuted_labels_give_permuted_q(backend: str, labels: int) -> None:
    image, probabilities = scene(30, 27, labels)
    order = np.random.default_rng(1).permutation(labels)
    matrix = np.random.default_rng(2).normal(size=(labels, labels)).astype(np.float32)
    straight = DenseCRF(image, [Gaussian(3, matrix), Bilateral()], backend=backend)
    permuted = DenseCRF(image, [Gaussian(3, matrix[np.ix_(order, order)]), Bilateral()], backend=backend)
    ours = straight.infer(probabilities=probabilities, iterations=4).q[order]
    theirs = permuted.infer(probabilities=probabilities[order], iterations=4).q
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_image_and_constant_scores_stay_constant_and_sharpen(backend: str) -> None:
    image = np.full((40, 50, 3), 77, np.uint8)
    probabilities = np.broadcast_to(np.array([0.5, 0.3, 0.2], np.float32)[:, None, None], (3, 40, 50))
    q = DenseCRF(image, backend=backend).infer(probabilities=probabilities, iterations=3).q
    assert (q[0] > 0.99).all()


def test_an_isolated_pixel_is_taken_over_inside_its_region_only() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 255
    probabilities = np.full((2, 40, 40), 0.2, np.float32)
    probabilities[0, :, :20] = probabilities[1, :, 20:] = 0.8
    probabilities[:, 10, 10] = 0.3, 0.7  # says 1 in the midst of 0
    labels = DenseCRF(image).infer(probabilities=probabilities).labels
    assert (labels[:, :20] == 0).all()
    assert (labels[:, 20:] == 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("labels", [2, 9])
def test_labels_without_mass_stay_finite_and_unchosen(backend: str, labels: int) -> None:
    image, probabilities = scene(20, 21, labels)
    without = np.concatenate([probabilities, np.zeros_like(probabilities[:1])])
    result = DenseCRF(image, backend=backend).infer(probabilities=without)
    assert np.isfinite(result.q).all()
    assert (result.labels < labels).all()
    energies = np.concatenate([-np.log(probabilities), np.full_like(probabilities[:1], np.inf)])
    forbidden = DenseCRF(image, backend=backend).infer(energies=energies)
    assert (forbidden.q[labels] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_energies_are_minus_logs(backend: str) -> None:
    image, probabilities = scene(20, 21, 4)
    crf = DenseCRF(image, backend=backend)
    ours = crf.infer(energies=-np.log(probabilities.clip(1e-5, 1)))
    np.testing.assert_allclose(ours.q, crf.infer(probabilities=probabilities).q, atol=1e-6)
    # What all labels of a pixel have in common does not matter.
    shifted = crf.infer(energies=-np.log(probabilities.clip(1e-5, 1)) + 5)
    np.testing.assert_allclose(ours.q, shifted.q, atol=1e-4)


@pytest.mark.parametrize("labels", [3, 21])
def test_threads_and_repetition_change_no_bit(labels: int) -> None:
    image, probabilities = scene(150, 230, labels)
    runs = [DenseCRF(image, threads=n).infer(probabilities=probabilities, iterations=4) for n in (1, 1, 2, 3)]
    crf = DenseCRF(image, threads=2)
    runs += [crf.infer(probabilities=probabilities, iterations=4) for _ in range(2)]
    for run in runs[1:]:
        assert np.array_equal(run.q, runs[0].q)


def test_torch_repeats_to_the_bit() -> None:
    image, probabilities = scene(40, 41, 5)
    runs = [DenseCRF(image, backend="torch").infer(probabilities=probabilities).q for _ in range(2)]
    assert np.array_equal(*runs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_only_and_strided_arrays(backend: str) -> None:
    image, probabilities = scene(25, 30, 3)
    expected = DenseCRF(image, backend=backend).infer(probabilities=probabilities).q
    mirrored = np.ascontiguousarray(image[:, ::-1])[:, ::-1]  # the same pixels, negative strides
    wide = np.repeat(probabilities, 2, axis=2)[:, :, ::2]
    fortran = np.asfortranarray(probabilities.astype(np.float64))
    for scores in (wide, fortran):
        np.testing.assert_allclose(
            DenseCRF(mirrored, backend=backend).infer(probabilities=scores).q, expected, atol=1e-6
        )
    for array in (image, probabilities):
        array.flags.writeable = False
    assert np.array_equal(DenseCRF(image, backend=backend).infer(probabilities=probabilities).q, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.int8, np.int64, np.float16, np.float64])
def test_energies_of_any_type_of_numbers(backend: str, dtype: type[np.generic]) -> None:
    image, probabilities = scene(12, 16, 3)
    energies = (9 * probabilities).round().astype(np.float32)
    expected = DenseCRF(image, backend=backend).infer(energies=energies).q
    assert np.array_equal(DenseCRF(image, backend=backend).infer(energies=energies.astype(dtype)).q, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tensors_of_half_precision(backend: str, dtype: torch.dtype) -> None:
    """What a network gives: their values count, and what is computed with them is float32."""
    image, probabilities = scene(12, 16, 3)
    photo, scores = (torch.from_numpy(array).to(dtype) for array in (image, probabilities))
    expected = DenseCRF(photo.float(), backend=backend).infer(probabilities=scores.float()).q
    half = DenseCRF(photo.requires_grad_(), backend=backend).infer(probabilities=scores).q
    assert half.dtype == torch.float32
    np.testing.assert_allclose(half, expected, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_of_half_precision(backend: str) -> None:
    image, probabilities = scene(12, 16, 3)
    expected = DenseCRF(image, backend=backend).infer(probabilities=probabilities).q
    half = DenseCRF(image.astype(np.float16), backend=backend).infer(probabilities=probabilities).q
    assert np.array_equal(half, expected)  # it holds whole numbers up to 255


def test_input_is_left_alone() -> None:
    image, probabilities = scene(25, 30, 3)
    before = image.copy(), probabilities.copy()
    DenseCRF(image).infer(probabilities=probabilities)
    assert np.array_equal(image, before[0])
    assert np.array_equal(probabilities, before[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_grey_and_many_channels_and_floats(backend: str) -> None:
    image, probabilities = scene(25, 30, 3)
    grey = image[..., 0]
    flat = DenseCRF(grey, backend=backend).infer(probabilities=probabilities)
    as_channel = DenseCRF(grey[..., None].astype(np.float32), backend=backend).infer(probabilities=probabilities)
    assert np.array_equal(flat.q, as_channel.q)
    # A channel that never changes adds nothing but another dimension of the same kernel.
    four = np.concatenate([image, np.full_like(image[..., :1], 9)], axis=2)
    result = DenseCRF(four, [Bilateral(10, 60, 1)], backend=backend).infer(probabilities=probabilities)
    three = DenseCRF(image, [Bilateral(10, 60, 1)], backend=backend).infer(probabilities=probabilities)
    assert np.abs(result.q - three.q).max() < 0.05


def test_tensors_come_back_as_tensors() -> None:
    image, probabilities = scene(25, 30, 3)
    expected = DenseCRF(image).infer(probabilities=probabilities)
    tensor = DenseCRF(torch.from_numpy(image)).infer(probabilities=torch.from_numpy(probabilities))
    assert isinstance(tensor.q, torch.Tensor)
    assert isinstance(tensor.labels, torch.Tensor)
    assert np.array_equal(tensor.q.numpy(), expected.q)
    assert np.array_equal(tensor.labels.numpy(), expected.labels)
    array = DenseCRF(image, backend="torch").infer(probabilities=probabilities)
    assert isinstance(array.q, np.ndarray)
