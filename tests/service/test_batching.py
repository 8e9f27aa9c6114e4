"""Photos of several requests encoded together."""

import threading

import pytest
import torch

from pnpovss.service.batching import Together
from tests.support.fakes import FakeBackbone, colour_backbone


class Slow(FakeBackbone):
    """Encodes the first batch only when it is told to."""

    go: threading.Event
    begun: threading.Event

    def encode_images(self, pixels):
        self.begun.set()
        self.go.wait(10)
        return super().encode_images(pixels)


def test_what_comes_meanwhile_is_encoded_at_once():
    plain = colour_backbone()
    slow = Slow(plain.attention, grid=plain.grid)
    slow.go, slow.begun = threading.Event(), threading.Event()
    together = Together(slow, most=3)
    given = [torch.rand(1, 3, 32, 32) for _ in range(6)]
    given[4] = torch.rand(1, 3, 16, 32)
    found: list = [None] * 6

    def ask(i: int) -> None:
        found[i] = together.encode_images(given[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    threads[0].start()
    slow.begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(together._waiting) < 5:
        pass
    slow.go.set()
    for thread in threads:
        thread.join(10)
    assert sorted(map(len, slow.encoded)) == [1, 1, 1, 3]
    for pixels, features in zip(given, found, strict=True):
        assert torch.equal(features.tokens, plain.encode_images(pixels).tokens)


def test_an_error_is_told_to_those_who_asked():
    class Broken(FakeBackbone):
        def encode_images(self, pixels):
            raise MemoryError("no room")

    together = Together(Broken(), most=2)
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            together.encode_images(torch.zeros(1, 3, 16, 16))
