"""Samples that are spread over a large file."""

from itertools import pairwise

import pytest

from pnpovss.files.samples import spread


@pytest.mark.parametrize(("size", "sample", "count"), [(100, 10, 4), (4097, 4096, 2), (10**9 + 7, 4096, 16)])
def test_the_first_and_the_last_bytes_are_among_them(size: int, sample: int, count: int):
    places = list(spread(size, sample, count))
    assert (len(places), places[0], places[-1] + sample) == (count, 0, size)
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) - min(gaps) <= 1
