"""Encode each picture once, however many settings look at it.

Salience Dropout starts from the whole photo, and so does every variant of an ablation, every sweep of a threshold and
the presence filter of the same model. An encoding depends on the pixels alone, so equal pixels may share one: exact,
not an approximation.
"""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, ImageFeatures

__all__ = ["SharedEncodings", "digest", "share_encodings"]

MOST_BYTES = 256 << 20
"""Held at once unless another number is asked for: a hundred photos of BLIP large, seven of a small decoder."""


class SharedEncodings:
    """Stands in for a backbone and answers `encode_images` from memory where it has seen the same pixels.

    Attributes:
        inner: the backbone that computes.
        most_bytes: of encodings held at once; those of the last images asked for are held whatever they take.
        held_bytes: of the encodings that are held.
        asked: images whose encoding was asked for.
        computed: images that had to be encoded.
    """

    def __init__(self, inner: Backbone, most_bytes: int = MOST_BYTES) -> None:
        self.inner = inner
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self.asked = 0
        self.computed = 0
        self._known: OrderedDict[bytes, ImageFeatures] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImageFeatures:
        """As the backbone's own; equal pixels are encoded once."""
        keys = [digest(image) for image in pixels]
        found = {key: self._known[key] for key in keys if key in self._known}
        new = [i for i, key in enumerate(keys) if key not in found and keys.index(key) == i]
        if new:
            features = self.inner.encode_images(pixels if len(new) == len(pixels) else pixels[new])
            for row, i in enumerate(new):
                found[keys[i]] = self._known[keys[i]] = features[row : row + 1]
                self.held_bytes += _bytes(found[keys[i]])
        self.asked += len(keys)
        self.computed += len(new)
        for key in keys:
            self._known.move_to_end(key)
        while self.held_bytes > self.most_bytes and len(self._known) > len(found):
            self.held_bytes -= _bytes(self._known.popitem(last=False)[1])
        parts = [found[key] for key in keys]
        return parts[0] if len(parts) == 1 else type(parts[0]).join(parts)


def share_encodings(backbone: Backbone, most_bytes: int = MOST_BYTES) -> Backbone:
    """The backbone, with a memory of the last encodings; one that has a memory already is returned as it is."""
    if isinstance(backbone, SharedEncodings):
        return cast(Backbone, backbone)
    return cast(Backbone, SharedEncodings(backbone, most_bytes))


def _bytes(encoded: Any) -> int:
    """Of all tensors in some encoded images, whatever they are made of."""
    if isinstance(encoded, Tensor):
        return encoded.numel() * encoded.element_size()
    if isinstance(encoded, Mapping):
        return sum(map(_bytes, encoded.values()))
    if isinstance(encoded, list | tuple):
        return sum(map(_bytes, encoded))
    return sum(map(_bytes, vars(encoded).values())) if hasattr(encoded, "__dict__") else 0


def digest(image: Float[Tensor, "3 H W"]) -> bytes:
    """Of the pixels and their layout."""
    data = image.detach().cpu().contiguous()
    return blake2b(data.numpy().tobytes() + repr(tuple(data.shape)).encode(), digest_size=16).digest()
