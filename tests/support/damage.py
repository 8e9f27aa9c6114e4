"""Checkpoints that are not whole: a copy to spoil, and ways to spoil it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

__all__ = ["edit", "reweigh"]


def reweigh(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the weights of a folder in place."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file, which is made where it is missing."""
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.is_file() else {}), **changes}))
