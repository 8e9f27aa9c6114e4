"""Photos of several requests encoded together."""

import copy
import threading
from typing import Any

import pytest
import torch

from pnpovss.backbones.shared import share_encodings
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


@pytest.mark.parametrize("odd", [1, 3, 4])  # where one of another size stands among those that wait
def test_what_comes_meanwhile_is_encoded_at_once(odd: int):
    plain = colour_backbone()
    slow = Slow(plain.attention, grid=plain.grid)
    slow.go, slow.begun = threading.Event(), threading.Event()
    together = Together(slow, most=3)
    given = [torch.rand(1, 3, 32, 32) for _ in range(6)]
    given[odd] = torch.rand(1, 3, 16, 32)
    found: list = [None] * 6

    def ask(i: int) -> None:
        found[i] = together.encode_images(given[i])

    threads = [threading.Thread(target=ask, args=(i,), daemon=True) for i in range(6)]
    threads[0].start()
    slow.begun.wait(10)
    for i, thread in enumerate(threads[1:], start=1):
        thread.start()
        while len(together._waiting) < i:  # in this order
            pass
    slow.go.set()
    for thread in threads:
        thread.join(10)
    assert sorted(map(len, slow.encoded)) == [1, 1, 1, 3]
    for pixels, features in zip(given, found, strict=True):
        assert torch.equal(features.tokens, plain.encode_images(pixels).tokens)
        assert features.tokens.untyped_storage().nbytes() == features.tokens.nbytes  # holds on to no other's memory


def test_a_stand_in_can_be_copied():
    backbone = colour_backbone()
    for stand_in in (Together(backbone, most=2), share_encodings(backbone)):
        assert copy.copy(stand_in).inner is backbone


def test_an_error_is_told_to_those_who_asked():
    class Broken(FakeBackbone):
        def encode_images(self, pixels):
            raise MemoryError("no room")

    together = Together(Broken(), most=2)
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            together.encode_images(torch.zeros(1, 3, 16, 16))


def test_a_batch_whose_features_cannot_be_told_apart_does_not_end_the_service():
    class Short(FakeBackbone):
        def encode_images(self, pixels: torch.Tensor) -> Any:
            first = not self.encoded
            features = super().encode_images(pixels)
            return None if first else features

    together = Together(Short(), most=2)
    found: list[object] = []

    def ask() -> None:
        try:
            found.append(len(together.encode_images(torch.zeros(1, 3, 16, 16))))
        except TypeError as error:
            found.append(type(error))

    for _ in range(2):
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(10)
    assert found == [TypeError, 1]
