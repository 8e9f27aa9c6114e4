"""How many maps a model holds while it goes through its layers."""

import weakref
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor


def count_held(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """At each call of the module's `cross_attention`: of how many calls before it the probabilities are held still."""
    attend, made, held = module.cross_attention, [], []

    def watched(*given: Any) -> tuple[Tensor, Tensor]:
        held.append(sum(each() is not None for each in made))
        hidden, probs = attend(*given)
        made.append(weakref.ref(probs))
        return hidden, probs

    monkeypatch.setattr(module, "cross_attention", watched)
    return held
