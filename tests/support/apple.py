"""Tensors as on an Apple GPU, as far as a machine without one can tell: no float64 until they are on the CPU."""

from typing import Any

import torch

__all__ = ["AppleTensor", "apple"]


class AppleTensor(torch.Tensor):
    """What is computed of one is one, too."""

    def double(self, *_: Any, **__: Any) -> torch.Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


def apple(values: torch.Tensor) -> AppleTensor:
    """The same values there."""
    return values.as_subclass(AppleTensor)
