"""What is remembered is bounded by bytes, and the least lately used goes first."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from pnpovss.memory import ENTRY, Memory, size_of


@dataclass
class Held:
    array: np.ndarray
    again: np.ndarray


class Slotted:
    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def test_sizes_count_each_array_once():
    array = np.zeros(1000, np.float32)
    assert size_of(array) == ENTRY + 4000
    assert size_of(Held(array, array)) == ENTRY + 4000
    assert size_of([array, {"a": torch.zeros(10, dtype=torch.float64)}, Slotted(np.zeros(5, np.uint8))]) == ENTRY + 4085
    assert size_of(Image.new("RGB", (10, 20))) == ENTRY + 600
    assert size_of((None, 1, b"abc", "de")) == ENTRY + 5
    ring: list = [array]
    ring.append(ring)
    assert size_of(ring) == ENTRY + 4000


def test_the_least_lately_used_goes_first():
    memory = Memory(3 * (1000 + ENTRY))
    for name in "abc":
        memory.put((name,), bytes(1000))
    assert memory.get(("a",)) is not None
    memory.put(("d",), bytes(1000))
    assert memory.get(("b",)) is None
    assert memory.get(("a",)) is not None
    assert len(memory) == 3
    assert memory.bytes == 3 * (1000 + ENTRY)
    memory.put(("a",), bytes(10))
    assert memory.bytes == 2 * (1000 + ENTRY) + 10 + ENTRY
    memory.put(("a",), bytes(10_000))
    assert memory.get(("a",)) is None, "what is larger than all is not kept, nor what it was before"
    assert memory.bytes == 2 * (1000 + ENTRY)


def test_found_and_missed_are_counted_by_what():
    memory = Memory(10_000)
    made = []
    for _ in range(3):
        memory.find(("maps", 1), lambda: made.append(1) or "made")
    assert made == [1]
    assert (memory.found["maps"], memory.missed["maps"]) == (2, 1)
