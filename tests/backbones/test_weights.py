"""What is read of weight files before a model is believed."""

import json
import struct
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


@pytest.mark.parametrize("offsets", [[(0, 8), (0, 8)], [(0, 4), (5, 8)], [(4, 8)], [(0, 9), (9, 8)], [(0.0, 8)]])
def test_tensors_that_do_not_lie_end_to_end_are_refused(offsets: list[tuple[int, int]], tmp_path: Path):
    entries = {str(i): {"dtype": "U8", "shape": [8], "data_offsets": each} for i, each in enumerate(offsets)}
    header = json.dumps(entries).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match="its start is damaged"):
        weights.check_safetensors(tmp_path / "w.safetensors")
