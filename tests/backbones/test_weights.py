"""What is read of weight files before a model is believed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pnpovss.backbones.parts import weights
from pnpovss.errors import CheckpointError

TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def test_stored_numbers_come_whole_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "_CHUNK", 64)
    whole = {str(dtype): torch.randn(7, 9, dtype=torch.float64).to(dtype) for dtype in TYPES}
    save_file({**whole, "ids": torch.arange(3), "none": torch.empty(0)}, tmp_path / "w.safetensors")
    parts: dict[str, list[torch.Tensor]] = {}
    for name, part in weights.stored(tmp_path / "w.safetensors"):
        parts.setdefault(name, []).append(part.clone())
    assert parts.keys() == whole.keys()
    for name, values in whole.items():
        assert len(parts[name]) > 1
        torch.testing.assert_close(torch.cat(parts[name]), values.flatten(), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_number_that_is_not_finite_in_the_last_part(dtype, value, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "_CHUNK", 64)
    values = torch.zeros(100, dtype=dtype)
    save_file(
        {"good": values, "bad": values.clone().index_fill_(0, torch.tensor([99]), value)}, tmp_path / "w.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"1 weights in .* not finite: bad; fetch it again"):
        weights.refuse_infinities(tmp_path, weights.stored(tmp_path / "w.safetensors"))
