import numpy as np
import pytest
import torch

from pnpovss.config import Config
from pnpovss.refine.pipeline import refine, score_maps
from pnpovss.refine.scores import add_background, gaussian_blur, normalise, resize, softmax, threshold


def test_threshold_is_relative_to_a_names_own_range_and_keeps_raw_values() -> None:
    maps = torch.tensor([[[0.0, 1.0], [2.0, 10.0]], [[5.0, 5.1], [5.2, 6.0]]])
    kept = threshold(maps, 0.15)
    assert kept[0].tolist() == [[0, 0], [2, 10]]
    assert kept[1].flatten().tolist() == pytest.approx([0, 0, 5.2, 6])


def test_threshold_leaves_empty_and_flat_maps_as_they_are() -> None:
    assert threshold(torch.zeros(1, 2, 2), 0.15).eq(0).all()
    assert threshold(torch.full((1, 2, 2), 3.0), 0.15).eq(3).all()


def test_resize_aligns_corners() -> None:
    assert resize(torch.tensor([[[0.0, 2.0]]]), (1, 3)).tolist() == [[[0, 1, 2]]]


def test_background_is_where_every_name_is_zero() -> None:
    scores = np.array([[[0, 0.2]], [[0, 0]]], dtype=np.float32)
    assert add_background(scores)[0].tolist() == [[1, 0]]


def test_blur_keeps_the_mean_and_mirrors_the_edges() -> None:
    scores = np.random.default_rng(0).random((2, 40, 60), dtype=np.float32)
    blurred = gaussian_blur(scores, 0.05)
    assert blurred.dtype == np.float32
    assert np.allclose(blurred.mean((1, 2)), scores.mean((1, 2)), atol=1e-3)
    assert blurred.std() < scores.std() / 5
    assert np.allclose(gaussian_blur(np.ones((1, 7, 5), np.float32), 0.3), 1, atol=1e-6)


def test_normalise_never_divides_by_nothing() -> None:
    scores = np.stack([np.zeros((2, 2)), np.ones((2, 2)), [[0, 1], [2, 4]]]).astype(np.float32)
    normalised = normalise(scores)
    assert normalised.dtype == np.float32
    assert normalised[0].tolist() == [[0, 0], [0, 0]]
    assert normalised[1].tolist() == [[1, 1], [1, 1]]
    assert normalised[2].tolist() == [[0, 0.25], [0.5, 1]]


def test_softmax_sums_to_one() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32) * 100)
    assert np.allclose(probabilities.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize("names", [1, 2, 5])
@pytest.mark.parametrize(
    ("policy", "expected"), [("always", (1, 1, 1)), ("never", (0, 0, 0)), ("fewer_than", (1, 1, 0))]
)
def test_background_policy(policy: str, expected: tuple[int, int, int], names: int) -> None:
    config = Config.preset("default", {"background.policy": policy}).without("crf", "blur")
    maps = torch.zeros(names, 2, 2)
    maps[:, 0, 0] = 1
    refined = refine(maps, np.zeros((8, 8, 3), np.uint8), config)
    has = bool(expected[[1, 2, 5].index(names)])
    assert (refined.background_score is not None) == has
    assert (refined.labels == 0).any() == has
    assert refined.labels.max() <= names


def test_an_image_without_a_trace_of_the_names_is_background_not_nan() -> None:
    refined = refine(torch.zeros(2, 3, 3), np.zeros((9, 9, 3), np.uint8), Config())
    assert (refined.labels == 0).all()
    assert np.isfinite(refined.scores).all()


def test_scores_and_background_sum_to_one_with_every_step_on_and_off() -> None:
    maps = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    for off in [(), ("crf",), ("blur",), ("threshold",), ("crf", "blur", "threshold")]:
        refined = refine(maps, image, Config().without(*off))
        assert refined.background_score is not None
        assert np.allclose(refined.scores.sum(0) + refined.background_score, 1, atol=1e-4)
        assert refined.labels.shape == (20, 30)


def test_more_than_255_names_need_wider_labels() -> None:
    maps = torch.zeros(300, 1, 300)
    maps[torch.arange(300), 0, torch.arange(300)] = 1
    config = Config.preset("default", {"background.policy": "never"}).without("crf", "blur", "threshold")
    labels = refine(maps, np.zeros((1, 300, 3), np.uint8), config).labels
    assert labels.dtype == np.uint16
    assert labels[0].tolist() == list(range(1, 301))


def test_score_maps_work_on_a_single_pixel() -> None:
    probabilities = score_maps(torch.rand(2, 3, 3), (1, 1), Config())
    assert probabilities.shape == (3, 1, 1)
    assert np.isfinite(probabilities).all()
