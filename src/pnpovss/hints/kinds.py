"""What kind of failure a line hints at, so that photos can be sorted by it."""

import re

__all__ = ["KINDS", "kinds_of"]

# By what its lines say beside the names, which stand in quotes.
KINDS = {
    "over-segmentation": "looks like over-segmentation",
    "under-segmentation": "looks like under-segmentation",
    "jagged": "looks jagged",
    "in pieces": " pieces: ",
    "confusion": "looks like confusion",
    "hardly found": "was hardly found anywhere",
    "hardly there": "hardly there, by its match score",
}

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def kinds_of(lines: list[str]) -> list[str]:
    """The kinds that some lines of `looks_like` and `doubts` hint at, in the order of `KINDS`."""
    said = [_QUOTED.sub("", line) for line in lines]
    return [kind for kind, mark in KINDS.items() if any(mark in line for line in said)]
