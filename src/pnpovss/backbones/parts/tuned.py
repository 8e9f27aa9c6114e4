"""Settings that checkpoints were tuned to: data, in `tuned.json`, by checkpoint.

An entry names a `model_type` and either the `name` of a checkpoint or, with `where`, values of its config.json; what it
recommends is a `Recommended`.
"""

import json
from pathlib import Path
from typing import Any

from pnpovss.backbones.base import Recommended

__all__ = ["tuned"]

_FILE = Path(__file__).with_name("tuned.json")


def tuned(name: str, config: dict[str, Any]) -> Recommended | None:
    """What a checkpoint was tuned to; None where nobody tuned it.

    Args:
        name: hub id or folder.
        config: of the checkpoint, as transformers writes it.
    """
    for entry in json.loads(_FILE.read_text(encoding="utf-8")):
        wanted = entry.get("where", {})
        named = entry.get("name", name) == name
        if named and entry["model_type"] == config.get("model_type") and _holds(config, wanted):
            return Recommended(**entry["recommended"])
    return None


def _holds(config: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the config has these values, by dotted name."""
    for dotted, value in wanted.items():
        node: Any = config
        for part in dotted.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if node != value:
            return False
    return True
