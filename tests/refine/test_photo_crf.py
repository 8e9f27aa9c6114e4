"""The Dense CRF of a photo: at its own size, smaller, and on both engines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from pnpovss.config import Config, CrfSettings
from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian
from pnpovss.inputs import to_pixels
from pnpovss.refine.photo_crf import PhotoCrf, working_size
from pnpovss.refine.pipeline import photo_beside, refine
from pnpovss.refine.scores import score_maps
from tests.support.fakes import FakeBackbone

EXAMPLES = Path(__file__).parents[2] / "examples"

MAPS = torch.from_numpy(np.random.default_rng(0).gamma(0.3, size=(3, 12, 12)).astype(np.float32))


def example(name: str, size: tuple[int, int]) -> np.ndarray:
    """An example photo, RGB, resized to (width, height)."""
    return np.array(Image.open(EXAMPLES / name).convert("RGB").resize(size, Image.Resampling.BICUBIC))


def blobs(grid: int = 12) -> torch.Tensor:
    """Smooth maps of two things on a patch grid."""
    y, x = np.mgrid[:grid, :grid] / (grid - 1)
    maps = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.03) for cx, cy in ((0.35, 0.45), (0.8, 0.7))]
    return torch.from_numpy(np.stack(maps).astype(np.float32))


def test_a_photo_within_the_limit_is_refined_as_it_is() -> None:
    photo = example("cat.jpg", (120, 90))
    settings = CrfSettings()
    scores = score_maps(blobs(), (90, 120), Config())
    crf = DenseCRF(photo, [Gaussian(3, 7), Bilateral(50, 5, 10)])
    expected = crf.infer(probabilities=scores.numpy(), iterations=10).q
    assert np.array_equal(PhotoCrf(torch.from_numpy(photo), settings)(scores).numpy(), expected)


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        ((3000, 4000), 3_000_000, (1500, 2000)),
        ((3000, 4000), None, (3000, 4000)),
        ((375, 500), 3_000_000, (375, 500)),
        ((1, 50_000_000), 10_000, (1, 10_000)),
        ((50_000_000, 1), 10_000, (10_000, 1)),
    ],
)
def test_working_size(size: tuple[int, int], limit: int | None, expected: tuple[int, int]) -> None:
    height, width = working_size(size, limit)
    assert (height, width) == pytest.approx(expected, abs=0 if limit != 10_000 else 9_999)
    assert limit is None or height * width <= limit
    assert height >= 1
    assert width >= 1


@pytest.mark.parametrize("name", ["cat.jpg", "coffee.jpg", "rocket.jpg"])
def test_labels_of_a_reduced_photo_are_those_of_the_whole(name: str) -> None:
    photo = example(name, (1200, 800))
    whole = refine(blobs(), photo, Config.preset("default", {"crf.max_pixels": None}))
    reduced = refine(blobs(), photo, Config.preset("default", {"crf.max_pixels": 400_000}))
    assert reduced.scores.shape == whole.scores.shape
    assert (reduced.labels == whole.labels).mean() >= 0.995
    assert reduced.background_score is not None
    np.testing.assert_allclose(reduced.scores.sum(0) + reduced.background_score, 1, atol=1e-4)


@pytest.mark.parametrize("max_pixels", [None, 10_000])
@pytest.mark.parametrize("name", ["cat.jpg", "horse.png"])
def test_torch_is_numba_from_maps_to_labels(name: str, max_pixels: int | None) -> None:
    """What a CUDA device runs, on the CPU's tensors, against what the CPU runs."""
    photo = example(name, (160, 120))
    config = Config.preset("default", {"crf.max_pixels": max_pixels})
    assert config.crf is not None
    tensor = photo_beside(blobs(), photo)
    numba, torch_ = (
        refine(blobs(), photo, config, PhotoCrf(tensor, config.crf, backend=backend)) for backend in ("numba", "torch")
    )
    assert np.array_equal(numba.labels, torch_.labels)
    np.testing.assert_allclose(numba.scores, torch_.scores, atol=1e-4)


@pytest.fixture
def defaults_of_another_program() -> Iterator[None]:
    """What torch makes is float64 on another device, unless it is told otherwise."""
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_torchs_defaults_change_nothing(backend: Literal["numba", "torch"], request: pytest.FixtureRequest) -> None:
    photo, maps, config = example("cat.jpg", (160, 120)), blobs(), Config.preset("default", {"crf.max_pixels": 10_000})

    def refined() -> np.ndarray:
        assert config.crf is not None
        return refine(maps, photo, config, PhotoCrf(photo_beside(maps, photo), config.crf, backend)).scores

    expected = refined()
    request.getfixturevalue("defaults_of_another_program")
    assert np.array_equal(refined(), expected)
    card = FakeBackbone().card
    assert to_pixels(Image.fromarray(photo), (16, 16), card).dtype == torch.float32


def test_what_a_cuda_device_would_hold_is_worked_on_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands for one: it refuses every way back to the CPU."""
    maps, photo = blobs().to("meta"), torch.zeros(40, 50, 3, dtype=torch.uint8, device="meta")
    scores = score_maps(maps, (40, 50), Config())
    assert scores.device.type == "meta"
    assert PhotoCrf(photo, CrfSettings())._crf._engine.device.type == "meta"
    assert PhotoCrf(photo, CrfSettings(max_pixels=10_000))._crf._engine.device.type == "meta"


def test_read_only_pixels_are_left_alone() -> None:
    photo = example("cat.jpg", (40, 30))
    photo.flags.writeable = False
    assert refine(blobs(), photo, Config()).labels.shape == (30, 40)
