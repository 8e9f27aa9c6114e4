"""Where and how a model runs, and which settings it runs with."""

import torch

from pnpovss.backbones.base import Backbone
from pnpovss.config import Config
from pnpovss.errors import ConfigError

__all__ = ["complete_config", "parse_device", "parse_dtype"]


def parse_device(device: str) -> torch.device:
    """A torch device from its name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: the name is no device, or this machine has none of that kind.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {device!r}; expected auto, cpu, cuda, cuda:N or mps") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (parsed.index or 0) >= there.get(parsed.type, 0):
        have = ", ".join(kind for kind, count in there.items() if count)
        raise ConfigError(f"device {device!r} is not on this machine; it has: {have}")
    return parsed


def parse_dtype(dtype: str) -> torch.dtype:
    """A compute dtype from its name.

    Raises:
        ConfigError: neither float32 nor bfloat16.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype not in known:
        raise ConfigError(f"unknown dtype {dtype!r}; expected one of {', '.join(known)}")
    return known[dtype]


def complete_config(config: Config, backbone: Backbone) -> Config:
    """Fill in the model's own layer, head and image size.

    Raises:
        ConfigError: a layer, head or size that the model does not have.
    """
    own, heads = backbone.recommended, backbone.attention_shape
    layer = own.layer if config.layer is None else config.layer
    head = own.head if config.head is None else config.head
    size = config.image_size or own.image_size
    if layer not in heads:
        raise ConfigError(f"layer {layer} of {backbone.name!r} has no cross-attention; these have: {sorted(heads)}")
    if head >= heads[layer]:
        raise ConfigError(f"layer {layer} of {backbone.name!r} has heads 0 to {heads[layer] - 1}, no head {head}")
    if size % backbone.patch:
        near = max(1, round(size / backbone.patch)) * backbone.patch
        raise ConfigError(
            f"image_size {size} is no multiple of the patch of {backbone.name!r}, {backbone.patch} px; try {near}"
        )
    return config.replace({"layer": layer, "head": head, "image_size": size})
