"""Encode each picture once, however many settings look at it.

Salience Dropout starts from the whole photo, and so does every variant of an ablation, every sweep of a threshold and
the presence filter of the same model. An encoding depends on the pixels alone, so equal pixels may share one: exact,
not an approximation.
"""

from hashlib import blake2b
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, ImageFeatures, some_of
from pnpovss.memory import Memory

__all__ = ["SharedEncodings", "StandIn", "share_encodings"]

MOST_BYTES = 256 << 20
"""Held at once unless another number is asked for: a hundred photos of BLIP large, seven of a small decoder."""


class StandIn:
    """What stands in for a backbone: all that it does not do itself is the backbone's.

    Attributes:
        inner: the backbone that computes.
    """

    def __init__(self, inner: Backbone) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not there yet, as while this is copied
            raise AttributeError(name)
        return getattr(self.inner, name)


class SharedEncodings(StandIn):
    """Stands in for a backbone and answers `encode_images` from memory where it has seen the same pixels.

    One object may be used from several threads.

    Attributes:
        inner: the backbone that computes.
        memory: of encodings, and of whatever else its owner keeps there. Those of the last images asked for are at
            hand even where it has no room for them.
        asked: images whose encoding was asked for.
        computed: images that had to be encoded.
    """

    def __init__(self, inner: Backbone, memory: Memory) -> None:
        super().__init__(inner)
        self.memory = memory
        self.asked = 0
        self.computed = 0
        self._last: dict[bytes, ImageFeatures] = {}

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImageFeatures:
        """As the backbone's own; equal pixels are encoded once."""
        keys, last = [_digest(image) for image in pixels], self._last
        known = {key: self.memory.get(("encoding", key)) for key in keys}
        known |= {key: last[key] for key in keys if known[key] is None and key in last}
        new = [i for i, key in enumerate(keys) if known[key] is None and keys.index(key) == i]
        if new:
            features = self.inner.encode_images(pixels if len(new) == len(pixels) else pixels[new])
            for row, i in enumerate(new):
                # Of several, a copy: a part would hold on to the memory of all of them, and counts as its own alone.
                known[keys[i]] = some_of(features, [row])
                self.memory.put(("encoding", keys[i]), known[keys[i]])
        self.asked += len(keys)
        self.computed += len(new)
        self._last = known
        parts = [known[key] for key in keys]
        return parts[0] if len(parts) == 1 else type(parts[0]).join(parts)


def share_encodings(backbone: Backbone, most_bytes: int = MOST_BYTES) -> Backbone:
    """The backbone, with a memory of the last encodings; one that has a memory already is returned as it is."""
    if isinstance(backbone, SharedEncodings):
        return cast(Backbone, backbone)
    return cast(Backbone, SharedEncodings(backbone, Memory(most_bytes)))


def _digest(image: Float[Tensor, "3 H W"]) -> bytes:
    """Of the pixels and their layout."""
    data = image.detach().cpu().contiguous()
    found = blake2b(data.numpy().reshape(-1).data, digest_size=16)
    found.update(repr(tuple(data.shape)).encode())
    return found.digest()
