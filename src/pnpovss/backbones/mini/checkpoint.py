"""The files of a `mini` checkpoint: what is in them, how they are written, how they are read.

A folder holds `config.json`, `model.safetensors` and `tokenizer.json`. Weights are float16; the word embeddings,
a third of all numbers, are int8 with one scale a word.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from pnpovss.backbones.base import Recommended
from pnpovss.backbones.mini.model import Mini
from pnpovss.backbones.mini.text import VOCABULARY
from pnpovss.backbones.parts.checkpoint import read_config
from pnpovss.backbones.parts.tokenizer import read_tokenizer
from pnpovss.backbones.parts.weights import refuse_infinities
from pnpovss.errors import CheckpointError

__all__ = ["MODEL_TYPE", "Checkpoint", "read_checkpoint", "write_checkpoint"]

MODEL_TYPE = "pnpovss-mini"
FORMAT = 1
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"

_WORDS = "text.embeddings.word_embeddings.weight"
_WORD_SCALES = "text.embeddings.word_embeddings.scale"


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds.

    Attributes:
        model: in evaluation mode, float32.
        tokenizer: neither pads nor truncates.
        recommended: settings it was tuned to.
        revision: hash of the weights file.
    """

    model: Mini
    tokenizer: Tokenizer
    recommended: Recommended
    revision: str


def write_checkpoint(folder: Path, model: Mini, tokenizer: Tokenizer, recommended: Recommended) -> None:
    """Write a checkpoint folder; the numbers lose precision as the module's first lines say."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    words = model.state_dict()[_WORDS].detach()
    state[_WORDS], state[_WORD_SCALES] = quantise(words)
    save_file(state, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it private
    tokenizer.save(str(folder / TOKENIZER), pretty=False)
    told = {name: value for name, value in vars(recommended).items() if name in _TOLD}
    config = {"model_type": MODEL_TYPE, "format": FORMAT, "recommended": told}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: a file is missing or damaged, or holds another architecture or format.
    """
    config = _read_config(folder)
    try:
        state = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights in {folder}: {error}; fetch the folder again") from error
    model, tokenizer = _build(state, folder), read_tokenizer(folder, VOCABULARY)
    revision = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:12]
    return Checkpoint(model, tokenizer, _recommended(config, folder), revision)


def quantise(words: Float[Tensor, "word d"]) -> tuple[Int8[Tensor, "word d"], Float[Tensor, " word"]]:
    """Each row as int8 and the scale that brings it back."""
    scale = (words.abs().amax(1) / 127).clamp_min(1e-8)
    return (words / scale[:, None]).round().to(torch.int8), scale.float()


def _build(state: dict[str, Tensor], folder: Path) -> Mini:
    if _WORD_SCALES not in state or _WORDS not in state:
        raise CheckpointError(f"{folder / WEIGHTS} has no word embeddings; expected a checkpoint of {MODEL_TYPE}")
    scale = state.pop(_WORD_SCALES)
    floats = {name: value.float() for name, value in state.items() if name != _WORDS}
    floats[_WORDS] = state[_WORDS].float() * scale[:, None]
    with torch.device("meta"):
        model = Mini()
    try:
        model.load_state_dict(floats, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{folder / WEIGHTS} does not fit this version of {MODEL_TYPE}: {error}") from error
    refuse_infinities(folder, model.state_dict().items())
    model.trunk.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in the stubs
    return model.eval().requires_grad_(False)


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_config(folder, MODEL_TYPE)
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} is in format {config.get('format')!r}, this version reads {FORMAT}; "
            "update pnpovss or the checkpoint"
        )
    return config


_TOLD = {field.name for field in fields(Recommended)} - {"heads"}  # a mini is tuned to one head


def _recommended(config: dict[str, Any], folder: Path) -> Recommended:
    told = config.get("recommended")
    if not isinstance(told, dict) or set(told) != _TOLD:
        raise CheckpointError(f"{folder / CONFIG} does not tell the settings it was tuned to: {told!r:.200}")
    for name in ("layer", "head", "image_size"):
        value = told[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise CheckpointError(f"{folder / CONFIG} says {name} = {value!r:.80}; expected an integer from 0 on")
    if not isinstance(told["settings"], dict) or not isinstance(told["source"], str):
        raise CheckpointError(f"{folder / CONFIG} says settings = {told['settings']!r:.80}; expected settings by name")
    return Recommended(**told)
