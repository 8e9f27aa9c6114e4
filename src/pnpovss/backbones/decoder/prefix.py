"""Images as a decoder remembers them: the keys and values of all that stands before the question, computed once.

With the image first, nothing of it depends on the question, so every question of an image starts from the same prefix:
equal to reading the whole sequence each time, at the cost of the question alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

__all__ = ["ImagePrefix", "continue_from", "keys_and_values"]


@dataclass(frozen=True, eq=False)
class ImagePrefix:
    """Encoded images; satisfies `ImageFeatures`.

    Attributes:
        states: keys and values of every layer, after rotation.
        grid: (gh, gw), the image's tokens down and across.
        columns: where in the prefix they are, row by row; tokens of other kinds may stand between them.
    """

    states: Float[Tensor, "b layer 2 kv n e"]
    grid: tuple[int, int]
    columns: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, images: slice) -> "ImagePrefix":
        return ImagePrefix(self.states[images], self.grid, self.columns)

    @classmethod
    def join(cls, parts: Sequence["ImagePrefix"]) -> "ImagePrefix":
        """Images of one grid, one after the other."""
        return cls(torch.cat([part.states for part in parts]), parts[0].grid, parts[0].columns)


def keys_and_values(cache: DynamicCache) -> Float[Tensor, "b layer 2 kv n e"]:
    """What a model left in an empty cache."""
    return torch.stack([torch.stack((layer.keys, layer.values), 1) for layer in cache.layers], 1)  # pyright: ignore


def continue_from(states: Float[Tensor, "b layer 2 kv n e"], owner: Int[Tensor, " p"]) -> Cache:
    """A cache in which each row goes on from the prefix of its own image; it never grows and changes nothing."""
    return Cache(layers=[_Remembered(layer[:, 0], layer[:, 1], owner) for layer in states.unbind(1)])


class _Remembered(DynamicLayer):
    """A layer of a cache that puts the prefix before what is new, and keeps nothing of it."""

    def __init__(
        self, keys: Float[Tensor, "b kv n e"], values: Float[Tensor, "b kv n e"], owner: Int[Tensor, " p"]
    ) -> None:
        super().__init__()
        self.keys, self.values, self._owner = keys, values, owner
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(
        self, key_states: Float[Tensor, "p kv t e"], value_states: Float[Tensor, "p kv t e"], *_: object, **__: object
    ) -> tuple[Float[Tensor, "p kv nt e"], Float[Tensor, "p kv nt e"]]:
        """All keys and values of each row: those of its image's prefix and its own."""
        assert self.keys is not None
        assert self.values is not None
        return (
            torch.cat([self.keys[self._owner], key_states], 2),
            torch.cat([self.values[self._owner], value_states], 2),
        )
