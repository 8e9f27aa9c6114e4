"""What was computed lately, by content, within so many bytes: encodings, and all else a service made of a photo."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

__all__ = ["Memory", "size_of"]

T = TypeVar("T")

Key = tuple[Hashable, ...]


class Memory:
    """Values by key, up to so many bytes together; what was used longest ago is forgotten first.

    One object may be used from several threads. Two that miss the same key at once both compute it.

    Attributes:
        max_bytes: of all values together.
        bytes: that they take now.
        found: how often a value was there, by the first part of its key.
        missed: how often it was not.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.found: Counter[Hashable] = Counter()
        self.missed: Counter[Hashable] = Counter()
        self._values: OrderedDict[Key, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Any:
        """The value, or None."""
        with self._lock:
            kept = self._values.get(key)
            (self.missed if kept is None else self.found)[key[0]] += 1
            if kept is None:
                return None
            self._values.move_to_end(key)
            return kept[0]

    def put(self, key: Key, value: Any) -> None:
        """Keep a value; one that is larger than all that may be kept is not."""
        size = size_of(value)
        with self._lock:
            self.bytes -= self._values.pop(key, (None, 0))[1]
            if size > self.max_bytes:
                return
            self._values[key] = (value, size)
            self.bytes += size
            while self.bytes > self.max_bytes:
                _, (_, freed) = self._values.popitem(last=False)
                self.bytes -= freed

    def find(self, key: Key, make: Callable[[], T]) -> T:
        """The value, made and kept where it is not there."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value


ENTRY = 200  # bytes that anything takes at least


def size_of(value: Any) -> int:
    """About how many bytes a value takes: arrays, tensors and pictures wherever they are in it, each once."""
    return ENTRY + _size(value, set())


def _size(value: Any, seen: set[int]) -> int:
    if id(value) in seen or value is None or isinstance(value, type):
        return 0
    seen.add(id(value))
    if isinstance(value, Tensor):
        return value.element_size() * value.nelement()
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Image.Image):
        return value.width * value.height * len(value.getbands())
    if isinstance(value, bytes | str):
        return len(value)
    return sum(_size(part, seen) for part in _parts(value))


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    slots = (getattr(value, name, None) for name in getattr(type(value), "__slots__", ()))
    return (*getattr(value, "__dict__", {}).values(), *slots)
