"""Errors as lines that people read."""

import pytest
import torch

from pnpovss.batch.events import one_line, page_of
from pnpovss.errors import ImageError, MissingExtraError, OutputError


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")]
)
def test_memory_that_ran_out_is_no_bug(error: Exception):
    assert one_line(error).startswith("memory ran out: take a smaller photo or image_size, fewer --workers")
    assert page_of(error) == "troubleshooting.md#memory"


def test_the_processors_memory_that_ran_out():
    """PyTorch's own error for it has no kind of its own."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50, dtype=torch.uint8)
    assert one_line(raised.value).startswith("memory ran out")


def test_every_other_error():
    assert one_line(ImageError("cat.jpg\nis no photo")) == "cat.jpg is no photo"
    assert one_line(ValueError("odd")) == "unexpected ValueError: odd"
    assert [page_of(error) for error in (ValueError("odd"), OutputError("full"), MissingExtraError("a", "b"))] == [
        None,
        "folders.md#where-results-go",
        "start.md#extras",
    ]
