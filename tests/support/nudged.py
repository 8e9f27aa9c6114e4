"""A textbook attention function for transformers' models, whose probabilities can be moved a little: what a gradient
with respect to them is held against."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

NUDGED = "nudged"
STEP = 2e-3

_moves: dict[nn.Module, Callable[[Tensor], Tensor]] = {}


def textbook(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor]:
    """The definition, written plainly; masks are added, groups of heads share keys."""
    shared = query.shape[1] // key.shape[1]
    key, value = (torch.stack([each[:, head // shared] for head in range(query.shape[1])], 1) for each in (key, value))
    scores = torch.einsum("bhqe,bhke->bhqk", query, key) * options["scaling"]
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[2]]
    probs = scores.softmax(-1)
    if module in _moves:
        probs = _moves[module](probs)
    return torch.einsum("bhqk,bhkf->bqhf", probs, value), probs


AttentionInterface.register(NUDGED, textbook)
AttentionMaskInterface.register(NUDGED, eager_mask)


@contextmanager
def nudged(module: nn.Module, move: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let the probabilities of one module of a model that runs with `NUDGED` be moved."""
    _moves[module] = move
    try:
        yield
    finally:
        del _moves[module]


def slope(
    value: Callable[[], Tensor], module: nn.Module, direction: Callable[[Tensor], Tensor], step: float = STEP
) -> float:
    """Derivative of a value as a module's probabilities go in a direction, by differences (five-point rule).

    Args:
        value: runs the model.
        module: whose probabilities move.
        direction: of the shape of the probabilities it is given.
        step: how far they go; short ones want a model in float64.
    """

    def at(distance: float) -> float:
        with nudged(module, lambda probs: probs + distance * direction(probs)):
            return float(value())

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
