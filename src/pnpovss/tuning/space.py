"""What the whole method is searched over, and how a trial's numbers become its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pnpovss.backbones.base import Card
from pnpovss.config import Heads, Settings

__all__ = ["Parameter", "changes", "heads_of", "parameters_of"]

_SIGMAS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08)  # 0: no blur
_PASSES = (1, 2, 3, 4, 6)
_DROPS = (0.1, 0.25, 0.5)
_SIDES = (0.75, 1.0, 1.25, 1.5)  # of the recommended side


@dataclass(frozen=True)
class Parameter:
    """One thing to be chosen.

    Attributes:
        name: of it.
        values: to choose from; what the settings say is one of them.
        own: its place.
    """

    name: str
    values: tuple[Any, ...]
    own: int


def parameters_of(
    search: Sequence[str], settings: Settings, card: Card, candidates: Sequence[str], thresholds: Sequence[float]
) -> list[Parameter]:
    """What is to be chosen, in the order of the words.

    Args:
        search: any of heads, threshold, blur, dropout, size.
        settings: to start from.
        card: of the model.
        candidates: the heads that may be read, as "7.9" or "7.9+8.2", the chosen ones first.
        thresholds: that may be chosen.
    """
    threshold, blur, dropout = settings.threshold or 0.0, settings.blur, settings.dropout
    known = {
        "heads": [Parameter("heads", tuple(candidates), 0)],
        "threshold": [_with("threshold", thresholds, threshold)],
        "blur": [_with("blur.sigma", _SIGMAS, blur.sigma if blur else 0.0)],
        "dropout": [
            _with("dropout.passes", _PASSES, dropout.passes if dropout else 1),
            _with("dropout.drop", _DROPS, dropout.drop if dropout else 0.5),
        ],
        "size": [_with("image_size", card.sides(_SIDES), settings.image_size)],
    }
    return [parameter for word in search for parameter in known[word]]


def changes(chosen: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a trial changes, by dotted name; what it leaves as it was stays whole, weights of passes too.

    Args:
        chosen: the trial's value of each parameter.
        start: what the settings say that it starts from.
    """
    found: dict[str, Any] = {}
    for name, value in chosen.items():
        if value == start[name]:
            continue
        if name == "heads":
            heads = [list(each) for each in heads_of(value)]
            found |= {"heads": heads} if len(heads) > 1 else {"layer": heads[0][0], "head": heads[0][1]}
        elif name == "blur.sigma":
            found |= {"blur.sigma": value} if value else {"blur": None}
        elif name == "dropout.passes" and value == 1:
            found["dropout"] = None
        elif not (name == "dropout.drop" and chosen.get("dropout.passes") == 1):
            found[name] = value
    if "dropout.passes" in found:
        found["dropout.weights"] = None  # one a pass
    return found


def heads_of(value: str) -> Heads:
    """The heads of a choice such as "7.9" or "7.9+8.2"."""
    pairs = (each.split(".") for each in value.split("+"))
    return tuple((int(layer), int(head)) for layer, head in pairs)


def _with(name: str, values: Sequence[float], own: float) -> Parameter:
    """A choice of numbers, with what the settings say among them."""
    ascending = tuple(sorted({*values, own}))
    return Parameter(name, ascending, ascending.index(own))
