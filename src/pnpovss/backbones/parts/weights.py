"""What weight files hold, by their headers alone, held against the file and against the model that a config describes.

A config of a few hundred bytes may describe a vocabulary of sixty million words, or sixty million layers: whoever
builds that model first and compares afterwards is out of memory.
"""

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pnpovss.errors import CheckpointError

__all__ = ["check_safetensors", "few", "refuse_infinities", "refuse_larger_model", "stored"]

_HEADER = 100_000_000  # bytes; safetensors itself reads no longer ones
_SPARE = 50_000_000  # numbers, 200 MB: so much may be missing for a better reason, which is told once it is built
_CHUNK = 1 << 24  # bytes read at once
_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_LAYERS_UNTOLD = 1000  # where the weights do not tell how many tensors they are


def check_safetensors(path: Path) -> Mapping[str, Any]:
    """The entries of a safetensors file's header, by name; they lie end to end, and the file is as long as they say.

    Raises:
        CheckpointError: it is not, or holds no such header; a broken download is the usual reason.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        header = file.read(length) if length <= min(size - 8, _HEADER) else b""
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        announced = 8 + length + _end(entry["data_offsets"] for entry in entries.values())
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} is no safetensors file, or its start is damaged; fetch it again") from error
    if size != announced:
        raise CheckpointError(f"{path} has {size} bytes, its header announces {announced}: fetch it again")
    return entries


def refuse_larger_model(folder: Path, architecture: Any, config: dict[str, Any], files: Sequence[Path]) -> None:
    """Refuse a config that describes more than the weights can hold, before any of it takes memory.

    Args:
        folder: of the checkpoint.
        architecture: class of transformers that is to be built.
        config: of the checkpoint.
        files: its weights.

    Raises:
        CheckpointError: it does, or it describes no model at all.
    """
    tensors = sum(len(check_safetensors(path)) for path in files if path.suffix == ".safetensors")
    _refuse_depth(folder, config, tensors or _LAYERS_UNTOLD)
    try:
        settings = architecture.config_class.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):  # shapes without numbers
            described = sum(math.prod(weights.shape) for weights in architecture(settings).parameters())
    except Exception as error:  # transformers and the hub's client raise whatever they like on odd configs
        reason = (str(error).strip().splitlines() or [""])[0]
        raise CheckpointError(
            f"{folder / 'config.json'} describes no {architecture.__name__}: {type(error).__name__}: {reason}"
        ) from error
    held = sum(path.stat().st_size for path in files)
    if described > held + _SPARE:
        raise CheckpointError(
            f"{folder / 'config.json'} describes a model of {described:,} numbers, the weights are {held:,} bytes: "
            "they do not belong together"
        )


def refuse_infinities(folder: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    """A model with NaN or infinite weights answers, and everything it says is worthless.

    Args:
        folder: of the checkpoint.
        weights: and their names; a name may come several times, with a part of its values each.

    Raises:
        CheckpointError: some are not finite.
    """
    broken = {name for name, values in weights if not bool(torch.isfinite(values).all())}
    if broken:
        raise CheckpointError(
            f"{len(broken)} weights in {folder} hold values that are not finite: {few(broken)}; fetch it again"
        )


def stored(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The floating-point numbers of a safetensors file, flat and in parts that are overwritten by the next.

    They are read as a file is, not mapped: pages of a mapped file stay with the process, also those of a vocabulary
    of which a prompt uses five rows.
    """
    buffer = bytearray(_CHUNK)
    with path.open("rb") as file:
        start = 8 + struct.unpack("<Q", file.read(8))[0]
        for name, entry in check_safetensors(path).items():
            first, end = entry["data_offsets"]
            if entry["dtype"] in _FLOATS:
                file.seek(start + first)
                for left in range(end - first, 0, -_CHUNK):
                    part = memoryview(buffer)[: min(left, _CHUNK)]
                    file.readinto(part)
                    yield name, torch.frombuffer(part, dtype=_FLOATS[entry["dtype"]])


def few(names: Iterable[str]) -> str:
    """The first three of some names, for a message."""
    names = sorted(str(name) for name in names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _end(offsets: Iterable[Sequence[Any]]) -> int:
    """Where the last tensor ends; overlapping ones could be read for ever.

    Raises:
        ValueError: they do not lie end to end.
    """
    end = 0
    for first, after in sorted((index(first), index(after)) for first, after in offsets):
        if first != end or after < first:
            raise ValueError(f"a tensor from byte {first} to {after}, expected one from {end}")
        end = after
    return end


def _refuse_depth(folder: Path, config: Any, most: int) -> None:
    """Layers are built one by one, so that even the shapes of too many would take for ever."""
    for key, value in config.items():
        if isinstance(value, dict):
            _refuse_depth(folder, value, most)
        elif "layers" in key and isinstance(value, int) and value > most:
            raise CheckpointError(
                f"{folder / 'config.json'} says {key} = {value}, the weights are {most} tensors: they do not belong "
                "together"
            )
