import torch

from pnpovss.backbones.shared import SharedEncodings
from pnpovss.memory import Memory
from tests.support.fakes import colour_backbone


def test_an_encoding_that_is_kept_holds_its_own_memory_alone() -> None:
    """Images that were encoded together are forgotten one by one, so none may keep the others' numbers alive."""
    shared, pixels = SharedEncodings(colour_backbone(), Memory(1 << 20)), torch.rand(4, 3, 32, 32)
    together = shared.encode_images(pixels)
    for place in range(len(pixels)):
        alone = shared.encode_images(pixels[place : place + 1])
        assert torch.equal(alone.tokens, together.tokens[place : place + 1])
        assert alone.tokens.untyped_storage().nbytes() == alone.tokens.nbytes
    assert shared.computed == 4
