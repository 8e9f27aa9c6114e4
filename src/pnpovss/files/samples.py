"""Where to look into a large file to tell it from others without reading all of it."""

from collections.abc import Iterator

__all__ = ["spread"]


def spread(size: int, sample: int, count: int) -> Iterator[int]:
    """First bytes of evenly spread samples, the first at the start and the last at the end.

    Args:
        size: of what is sampled, no less than a sample [bytes].
        sample: size of each [bytes].
        count: how many, at least two.
    """
    for number in range(count):
        yield (size - sample) * number // (count - 1)
