import numpy as np
import pytest
import torch

from pnpovss.config import Config
from pnpovss.refine.pipeline import refine
from pnpovss.refine.scores import normalise, score_maps, softmax, threshold


def test_threshold_is_relative_to_a_names_own_range_and_keeps_raw_values() -> None:
    maps = torch.tensor([[[0.0, 1.0], [2.0, 10.0]], [[5.0, 5.1], [5.2, 6.0]]])
    kept = threshold(maps, 0.15)
    assert kept[0].tolist() == [[0, 0], [2, 10]]
    assert kept[1].flatten().tolist() == pytest.approx([0, 0, 5.2, 6])


def test_threshold_leaves_empty_and_flat_maps_as_they_are() -> None:
    assert threshold(torch.zeros(1, 2, 2), 0.15).eq(0).all()
    assert threshold(torch.full((1, 2, 2), 3.0), 0.15).eq(3).all()


def test_normalise_never_divides_by_nothing() -> None:
    scores = torch.stack([torch.zeros(2, 2), torch.full((2, 2), 3.0), torch.tensor([[0.0, 1.0], [2.0, 4.0]])])
    assert normalise(scores) is scores
    assert scores[0].tolist() == [[0, 0], [0, 0]]
    assert scores[1].tolist() == [[1, 1], [1, 1]]
    assert scores[2].tolist() == [[0, 0.25], [0.5, 1]]


def test_a_flat_map_is_flat_at_every_size() -> None:
    """Rounding must not be stretched to [0, 1]."""
    for size in [(7, 9), (375, 500), (97, 61)]:
        probabilities = score_maps(torch.full((1, 20, 20), 0.3), size, Config.preset("default").without("background"))
        assert torch.equal(probabilities, torch.ones(1, *size))
        odds = score_maps(torch.stack([torch.full((20, 20), 0.3), torch.zeros(20, 20)]), size, Config())
        assert torch.allclose(odds[1] / odds[2], torch.tensor(np.e, dtype=torch.float32), atol=1e-4)


def test_softmax_sums_to_one_and_is_one() -> None:
    scores = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.softmax(scores, dim=0)
    torch.testing.assert_close(softmax(scores), expected)


@pytest.mark.parametrize("names", [1, 2, 5])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [("auto", (1, 1, 1)), ("always", (1, 1, 1)), ("never", (0, 0, 0)), ("fewer_than", (1, 1, 0))],
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
    assert probabilities.isfinite().all()
