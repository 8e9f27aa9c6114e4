"""Checking and reading a checkpoint of transformers: all is there and fits, or it is refused with a reason."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from math import isclose, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pnpovss.backbones.parts.weights import check_safetensors, few, refuse_infinities, refuse_larger_model, stored
from pnpovss.errors import CheckpointError
from pnpovss.files.samples import spread

__all__ = [
    "ADAPTER",
    "CLIP_NORMALISATION",
    "HALF_NORMALISATION",
    "IMAGENET_NORMALISATION",
    "WEIGHTS",
    "content_hash",
    "expected_weights",
    "first_line",
    "model_type",
    "part_names",
    "read_config",
    "read_image_processor",
    "read_json",
    "read_model",
    "read_normalisation",
    "refuse_adapter",
    "refuse_other_values",
    "weight_files",
    "weight_names",
]

Rgb = tuple[float, float, float]

CLIP_NORMALISATION: tuple[Rgb, Rgb] = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
"""RGB mean and standard deviation of CLIP, which many others took over."""

HALF_NORMALISATION: tuple[Rgb, Rgb] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET_NORMALISATION: tuple[Rgb, Rgb] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files of weights, in the order of preference; an index in the place of one names its parts."""

ADAPTER = "adapter_config.json"
"""The file by which a folder of PEFT is told."""

_SMALL = 64 << 20  # bytes of a weight file that is hashed in full
_SMALL_TENSOR = 1 << 20  # bytes of a tensor in a larger file that is hashed in full
_FILE_SAMPLES, _TENSOR_SAMPLES, _SAMPLE_BYTES = 64, 4, 1 << 16  # of what is larger


def read_config(folder: Path, *model_types: str) -> dict[str, Any]:
    """config.json of a checkpoint.

    Args:
        folder: of the checkpoint.
        model_types: what its `model_type` may be.

    Raises:
        CheckpointError: it is missing, unreadable, or of another architecture.
    """
    config = read_json(folder / "config.json")
    if (kind := config.get("model_type")) not in model_types:
        expected = " or ".join(repr(each) for each in model_types)
        raise CheckpointError(f"{folder / 'config.json'} says model_type {kind!r}; expected {expected}")
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a checkpoint, which holds an object.

    Raises:
        CheckpointError: it is missing or unreadable.
    """
    if not path.is_file():
        raise CheckpointError(
            f"no {path.name} in {path.parent}: expected a folder as transformers' save_pretrained writes it"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}; expected an object")
    return content


def model_type(config: Path) -> str | None:
    """The architecture that a config.json names; None where there is no such file or it cannot be read."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    kind = content.get("model_type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def read_model(
    folder: Path,
    architecture: Any,
    dtype: torch.dtype = torch.float32,
    *,
    other_heads: tuple[str, ...] = (),
    **options: Any,
) -> Any:
    """A model of transformers on the CPU, frozen and in evaluation mode.

    Args:
        folder: of the checkpoint.
        architecture: the class to load; all its weights must be there, and no others.
        dtype: of its weights.
        other_heads: prefixes of weights that may be left over: heads of other tasks, which published files hold too.
        options: more arguments of its `from_pretrained`, such as attn_implementation.

    Raises:
        CheckpointError: weights are missing, left over, of another shape, damaged, or not finite; or an adapter of PEFT
            lies beside them.
    """
    config, files = read_json(folder / "config.json"), weight_files(folder)
    _refuse_adapter_beside(folder)
    refuse_larger_model(folder, architecture, config, files)
    try:
        with _quiet_transformers():
            model, info = architecture.from_pretrained(
                folder,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, all of them, and refused
                local_files_only=True,
                trust_remote_code=False,
                **options,
            )
    except Exception as error:  # transformers and the hub's client raise whatever they like on damaged files
        raise CheckpointError(f"the checkpoint in {folder} cannot be read: {first_line(error)}") from error
    info["unexpected_keys"] = [key for key in info["unexpected_keys"] if not key.startswith(other_heads)]
    _refuse_misfits(folder, architecture, config, info)
    refuse_infinities(folder, _weights(files, model))
    return model.eval().requires_grad_(False)


def read_image_processor(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """How a checkpoint's images are prepared, and the file that says so; None where none does.

    As transformers does, `image_processor` in processor_config.json goes before preprocessor_config.json: release 5
    writes the one alone, and leaves the other as it was where it saves into a folder of an earlier release.

    Raises:
        CheckpointError: the file cannot be read, or does not hold objects.
    """
    both, alone = folder / "processor_config.json", folder / "preprocessor_config.json"
    if both.is_file() and "image_processor" in (settings := read_json(both)):
        inner = settings["image_processor"]
        if not isinstance(inner, dict):
            raise CheckpointError(f"{both} holds image_processor as {type(inner).__name__}; expected an object")
        return both, inner
    return (alone, read_json(alone)) if alone.is_file() else None


def read_normalisation(folder: Path, default: tuple[Rgb, Rgb] = CLIP_NORMALISATION) -> tuple[Rgb, Rgb]:
    """RGB mean and standard deviation from what `read_image_processor` finds; the default where it says nothing.

    Raises:
        CheckpointError: the file cannot be read, the values are not three finite numbers each, std above 0, or it does
            not normalise.
    """
    found = read_image_processor(folder)
    if found is None:
        return default
    path, settings = found
    refuse_other_values(path, settings)
    try:
        mean, std = (
            tuple(float(value) for value in settings.get(key, own))
            for key, own in zip(("image_mean", "image_std"), default, strict=True)
        )
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} does not say image_mean and image_std as numbers: {error}") from error
    if len(mean) != 3 or len(std) != 3 or not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
        raise CheckpointError(f"{path} normalises with mean {mean} and std {std}; expected three values, std above 0")
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def refuse_other_values(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a processor whose pixels are not (value / 255 - mean) / std: ours are, and the model knows others.

    Args:
        path: of the file, for the message.
        settings: what it says of images.

    Raises:
        CheckpointError: it does not normalise, or scales values otherwise.
    """
    if settings.get("do_normalize") is False:
        raise CheckpointError(
            f"{path} says do_normalize false; expected pixels that are normalised, so that a blanked patch is the mean "
            "colour. If the model was taught with values in [0, 1] and black is to be blank, write do_normalize true, "
            "image_mean [0, 0, 0] and image_std [1, 1, 1]"
        )
    factor = 1 if settings.get("do_rescale") is False else settings.get("rescale_factor")
    if factor is not None and not (isinstance(factor, int | float) and isclose(factor, 1 / 255, rel_tol=1e-5)):
        raise CheckpointError(
            f"{path} multiplies values by {factor!r:.80} (do_rescale, rescale_factor); expected 1/255: a model that "
            "was taught with others cannot be read here, so correct the file only if it is mistaken"
        )


def content_hash(files: Iterable[Path]) -> str:
    """Hash of weight files: of all bytes of a small file, and of a part of every tensor of a large one.

    Of a large safetensors file that is the header, all of each small tensor (a head, a bias: what is trained alone is
    small) and samples of each large one; of a large pickled file, samples and its end. It takes a fraction of a second
    where a full hash of BLIP-large takes several.

    Raises:
        CheckpointError: a large safetensors file whose header does not fit it.
    """
    digest, complete = hashlib.sha256(), True
    for path in sorted(files):
        size = path.stat().st_size
        complete &= size <= _SMALL
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for start, length in [(0, size)] if size <= _SMALL else _spans(path, size):
                file.seek(start)
                digest.update(file.read(length))
    return f"{'sha256' if complete else 'sampled-sha256'}:{digest.hexdigest()[:32]}"


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights; see `expected_weights`.

    Raises:
        CheckpointError: there are none, or a part is missing.
    """
    names = expected_weights(folder)
    if not names:
        raise CheckpointError(f"no weights in {folder}: expected model.safetensors (or its parts and their index)")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise CheckpointError(f"{len(missing)} of {len(names)} parts of the weights are missing: {few(missing)}")
    return [folder / name for name in names]


def expected_weights(folder: Path) -> list[str]:
    """Names of the weight files that a folder should hold: the one that is there, or the parts that an index names.

    In the order of preference in which transformers looks for them; empty where there is neither.

    Raises:
        CheckpointError: the index cannot be read, or there is an adapter of PEFT instead.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return part_names(index)
    refuse_adapter(folder)
    return []


def refuse_adapter(folder: Path) -> None:
    """Refuse what PEFT saves of a model that it tuned (LoRA and its kin): what it added, not the model.

    Raises:
        CheckpointError: that is what lies there.
    """
    settings = folder / ADAPTER
    if settings.is_file():
        base = read_json(settings).get("base_model_name_or_path")
        raise CheckpointError(
            f"{folder} holds an adapter of PEFT ({ADAPTER}), no whole model: load it on top of its base model "
            f"({base!r:.200}) with PEFT, merge the two with `merge_and_unload().save_pretrained(FOLDER)`, save the "
            "processor there too, and give that folder"
        )


def _refuse_adapter_beside(folder: Path) -> None:
    """Refuse weights that may hold what an adapter beside them adds, or not: no file tells.

    transformers adds it wherever PEFT is installed, to merged weights, too, and nowhere else.

    Raises:
        CheckpointError: both lie there.
    """
    if (folder / ADAPTER).is_file() and any(folder.glob("adapter_model.*")):
        raise CheckpointError(
            f"{folder} holds a whole model and an adapter of PEFT ({ADAPTER}): if the adapter is merged into the "
            "model's weights, move its files away, else merge it first; nobody can tell from the files"
        )


def weight_names(folder: Path) -> set[str]:
    """Names of the weights that a folder's files hold.

    Raises:
        CheckpointError: there are no weights, a part is missing, or one cannot be read.
    """
    names: set[str] = set()
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            names.update(check_safetensors(path))
            continue
        try:
            names.update(torch.load(path, map_location="meta", weights_only=True))
        except Exception as error:  # torch raises whatever it likes on damaged files
            raise CheckpointError(f"{path} cannot be read: {first_line(error)}; fetch it again") from error
    return names


def part_names(index: Path) -> list[str]:
    """The files that an index of weights names.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} cannot be read: {error!r:.200}") from error


def first_line(error: Exception) -> str:
    """Kind and first line of another's error, for a message of ours."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".removesuffix(": ")


def _spans(path: Path, size: int) -> Iterator[tuple[int, int]]:
    """First byte and length of what is hashed of a large file."""
    if path.suffix != ".safetensors":
        yield from _samples(0, size, _FILE_SAMPLES)
        yield size - _SMALL_TENSOR, _SMALL_TENSOR  # torch's directory of the file, with a checksum of each tensor
        return
    offsets = [entry["data_offsets"] for entry in check_safetensors(path).values()]
    header = size - max((end for _, end in offsets), default=0)
    yield 0, header
    for first, end in offsets:
        yield from _samples(header + first, end - first, _TENSOR_SAMPLES)


def _samples(start: int, length: int, count: int) -> Iterator[tuple[int, int]]:
    """First byte and length of evenly spread samples, the first and the last bytes among them; all of what is small."""
    if length <= _SMALL_TENSOR:
        yield start, length
        return
    for place in spread(length, _SAMPLE_BYTES, count):
        yield start + place, _SAMPLE_BYTES


def _refuse_misfits(folder: Path, architecture: Any, config: dict[str, Any], info: dict[str, Any]) -> None:
    mismatched = [f"{key} {tuple(found)} instead of {tuple(wanted)}" for key, found, wanted in info["mismatched_keys"]]
    kinds = {
        "missing": info["missing_keys"],
        "not of this model": info["unexpected_keys"],
        "of another shape": mismatched,
        "unreadable": info.get("error_msgs", ()),
    }
    found = [f"{len(keys)} {kind}: {few(keys)}" for kind, keys in kinds.items() if keys]
    if found:
        raise CheckpointError(
            f"the weights in {folder} are not those of {architecture.__name__}: {'; '.join(found)}. Its config names "
            f"{config.get('architectures')}"
        )


def _weights(files: Sequence[Path], model: Any) -> Iterable[tuple[str, Tensor]]:
    """The model's weights as its files hold them; those of pickled files as they were loaded."""
    if any(path.suffix != ".safetensors" for path in files):
        return model.state_dict().items()
    return chain.from_iterable(map(stored, files))


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' report and progress bar off the terminal: what matters in them becomes an error of ours."""
    from transformers.utils import logging as transformers_logging  # half a second, which `mini` does without

    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()
