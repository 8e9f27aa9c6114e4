"""Finding, checking and reading a BLIP checkpoint: everything is there and fits, or it is refused with its reason."""

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import BlipForImageTextRetrieval
from transformers.utils import logging as transformers_logging

from pnpovss.backbones.base import LoadOptions
from pnpovss.errors import CheckpointError

__all__ = ["content_hash", "locate", "model_type", "read_config", "read_model", "read_normalisation"]

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_SMALL_FILES = ["*.json", "vocab.txt"]
_SMALL = 64 << 20  # bytes of a weight file that is hashed in full
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16


def locate(name: str, options: LoadOptions) -> tuple[Path, str]:
    """Folder of a checkpoint, and its revision: the hub's commit, or a hash of a local folder's content.

    Raises:
        CheckpointError: the hub does not have it or cannot be reached, or the folder is not usable.
    """
    folder = Path(name)
    if folder.is_dir():
        if options.revision is not None:
            raise CheckpointError(f"revision {options.revision!r} was asked of the local folder {name}; leave it out")
        return folder, content_hash(weight_files(folder))
    try:
        folder = _download(name, options, [*_SMALL_FILES, "*.safetensors"])
        if not any(folder.glob("*.safetensors")):
            folder = _download(name, options, [*_SMALL_FILES, "pytorch_model*.bin"])
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"the model {name!r} is not on this machine, and no hub was {_asked(options)}: fetch it once where there "
            f"is a network (`hf download {name}`), or give the folder of a copy"
        ) from error
    except Exception as error:  # the hub's client changes its HTTP library, and so its errors, between releases
        raise CheckpointError(f"the hub does not give the model {name!r}: {_first_line(error)}") from error
    return folder, folder.name  # hub snapshots lie in folders named by their commit


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a BLIP checkpoint.

    Raises:
        CheckpointError: it is missing, unreadable, or of another architecture.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"no config.json in {folder}: expected a folder as transformers' save_pretrained writes it"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "blip":
        raise CheckpointError(f"{path} says model_type {kind!r}; expected 'blip'")
    return config


def model_type(config: Path) -> str | None:
    """The architecture that a config.json names; None where there is no such file or it cannot be read."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("model_type") if isinstance(content, dict) else None


def read_model(folder: Path) -> BlipForImageTextRetrieval:
    """The model in float32 on the CPU, frozen and in evaluation mode.

    Raises:
        CheckpointError: weights are missing, left over, of another shape or damaged.
    """
    config = read_config(folder)
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            _check_safetensors(path)
    try:
        with _quiet_transformers():
            loaded: Any = BlipForImageTextRetrieval.from_pretrained(
                folder,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, all of them, and refused
                local_files_only=True,
            )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint in {folder} cannot be read: {_first_line(error)}") from error
    model, info = loaded
    _refuse_misfits(folder, config, info)
    return model.eval().requires_grad_(False)


def read_normalisation(folder: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """RGB mean and standard deviation from preprocessor_config.json; CLIP's, which BLIP uses, where it says nothing.

    Raises:
        CheckpointError: the file cannot be read, or the values are not three numbers each.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return _CLIP_MEAN, _CLIP_STD
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        mean, std = (
            tuple(float(value) for value in settings.get(key, default))
            for key, default in (("image_mean", _CLIP_MEAN), ("image_std", _CLIP_STD))
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise CheckpointError(f"{path} normalises with mean {mean} and std {std}; expected three values, std above 0")
    return mean, std


def content_hash(files: Iterable[Path]) -> str:
    """Hash of weight files: of all bytes of a small file, of evenly spread samples and the size of a large one.

    Reading samples keeps it in milliseconds where a full hash of BLIP-large takes seconds.
    """
    digest, complete = hashlib.sha256(), True
    for path in sorted(files):
        size = path.stat().st_size
        small = size <= _SMALL
        complete &= small
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            if small:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return f"{'sha256' if complete else 'sampled-sha256'}:{digest.hexdigest()[:32]}"


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights, in the order of preference in which transformers looks for them.

    Raises:
        CheckpointError: there are none, or a part is missing.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _parts(index)
    raise CheckpointError(f"no weights in {folder}: expected model.safetensors (or its parts and their index)")


def _parts(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{index} cannot be read: {error!r}") from error
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise CheckpointError(f"{len(missing)} of {len(names)} parts of the weights are missing: {_few(missing)}")
    return [index.parent / name for name in names]


def _check_safetensors(path: Path) -> None:
    """Compare the file's size with what its header announces; a broken download is the usual reason."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        header = file.read(length) if length <= size - 8 else b""
    try:
        entries = json.loads(header)
        end = max((entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no safetensors file, or its start is damaged; fetch it again") from error
    if size != 8 + length + end:
        raise CheckpointError(f"{path} has {size} bytes, its header announces {8 + length + end}: fetch it again")


def _refuse_misfits(folder: Path, config: dict[str, Any], info: dict[str, Any]) -> None:
    mismatched = [f"{key} {tuple(found)} instead of {tuple(wanted)}" for key, found, wanted in info["mismatched_keys"]]
    kinds = {
        "missing": info["missing_keys"],
        "not of this model": info["unexpected_keys"],
        "of another shape": mismatched,
        "unreadable": info.get("error_msgs", ()),
    }
    found = [f"{len(keys)} {kind}: {_few(keys)}" for kind, keys in kinds.items() if keys]
    if found:
        raise CheckpointError(
            f"the weights in {folder} are not those of a BLIP image-text-matching model: {'; '.join(found)}. Its "
            f"config names {config.get('architectures')}; expected ['BlipForImageTextRetrieval']"
        )


def _download(name: str, options: LoadOptions, patterns: list[str]) -> Path:
    return Path(
        snapshot_download(
            name, revision=options.revision, allow_patterns=patterns, local_files_only=options.local_files_only
        )
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' report and progress bar off the terminal: what matters in them becomes an error of ours."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()


def _asked(options: LoadOptions) -> str:
    return "asked (local_files_only)" if options.local_files_only else "reached"


def _few(names: Iterable[str]) -> str:
    names = sorted(str(name) for name in names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".removesuffix(": ")
