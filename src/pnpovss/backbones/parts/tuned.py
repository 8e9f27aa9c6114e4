"""Settings that checkpoints were tuned to: data, in `tuned.json`, by checkpoint.

An entry names a `model_type` and either the `name` of a checkpoint or, with `where`, values of its config.json; what it
recommends is a `Recommended`. It is of a `task`, "match" where it names none: one `model_type` may hold models that
match and models that write, of the same sizes, and what was tuned for the ones says nothing of the others.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pnpovss.backbones.base import Recommended

__all__ = ["NEVER_ABSENT", "deep", "guess", "tuned"]

Task = Literal["match", "write"]

NEVER_ABSENT: Mapping[str, Any] = {"presence": None}
"""Settings of models whose match is no yes or no, and of which nobody measured what tells that a name is there."""

_FILE = Path(__file__).with_name("tuned.json")


def tuned(name: str, config: dict[str, Any], task: Task = "match") -> Recommended | None:
    """What a checkpoint was tuned to; None where nobody tuned it.

    Args:
        name: hub id or folder.
        config: of the checkpoint, as transformers writes it.
        task: what the checkpoint was trained for, which its config may not tell.
    """
    for entry in json.loads(_FILE.read_text(encoding="utf-8")):
        wanted = entry.get("where", {})
        fits = entry.get("name", name) == name and entry.get("task", "match") == task
        if fits and entry["model_type"] == config.get("model_type") and _holds(config, wanted):
            return Recommended(**entry["recommended"])
    return None


def deep(layers: int) -> int:
    """The layer that is as deep among so many as the paper's is among those of BLIP large: two thirds up, 0-based."""
    return max(0, layers * 2 // 3 - 1)


def guess(layer: int, image_size: int, settings: Mapping[str, Any]) -> Recommended:
    """What is recommended of a checkpoint that nobody tuned: a layer two thirds up, and its first head.

    Args:
        layer: see `deep`.
        image_size: [px].
        settings: that the architecture needs.
    """
    source = "untuned: a guess, two thirds up, first head"
    return Recommended(layer=layer, head=0, image_size=image_size, settings=dict(settings), source=source)


def _holds(config: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the config has these values, by dotted name."""
    for dotted, value in wanted.items():
        node: Any = config
        for part in dotted.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if node != value:
            return False
    return True
