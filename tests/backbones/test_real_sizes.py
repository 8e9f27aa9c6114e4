"""Models at their published sizes, randomly initialised, through the same door as published checkpoints.

    python -m pytest tests/backbones/test_real_sizes.py -m slow

All of them, with what they cost: `python -m benchmarks.models`.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_sizes import SIZES, parameters
from pnpovss import Segmenter

# Parameters as the checkpoints' cards or papers tell them, in millions; patches down and across.
PUBLISHED = {"blip-base": (223, (21, 21)), "clip-base": (150, (14, 14)), "siglip-base": (203, (14, 14))}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_whole_method_runs_at_the_published_size(name: str, tmp_path: Path) -> None:
    size, (millions, grid) = SIZES[name], PUBLISHED[name]
    size.save(tmp_path)
    assert parameters(tmp_path) == pytest.approx(millions * 1e6, rel=0.01)
    segmenter = Segmenter.from_pretrained(tmp_path, device="cpu", settings={"dropout.passes": 2}, without=["presence"])
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    found = segmenter(photo, ["cat", "dog", "potted plant"], name_match=True)
    assert found.labels.shape == (60, 80)
    assert found.heatmaps.names.shape == (3, *grid)
    assert np.isfinite(found.heatmaps.names).all()
    assert (found.heatmaps.names.max((1, 2)) > 0).all()
    assert found.name_match is not None
    assert all(0 <= match <= 1 for match in found.name_match)
