"""COCO's run-length encoding of masks, as pycocotools writes it, without pycocotools.

A mask is read column by column; `counts` are the lengths of its runs, the first of zeros (0 if it starts with a one).
The compressed form writes each count, from the fourth on less the count two before it, as a signed number of 5-bit
groups, lowest first, each as one character from "0" (48) on; bit 5 says that more groups follow.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool

__all__ = ["Rle", "decode", "encode", "pack", "unpack"]


class Rle(TypedDict):
    """A mask: [height, width], and its counts, packed into a string or as a list."""

    size: list[int]
    counts: str | list[int]


def encode(mask: Bool[np.ndarray, "h w"], *, compressed: bool = True) -> Rle:
    """Encode a mask.

    Args:
        mask: Bool "h w".
        compressed: pack the counts into a string (what pycocotools reads), or leave them as a list of numbers.
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], changes, [flat.size]])
    counts: list[int] = np.diff(bounds).tolist() if flat.size else []
    if flat.size and flat[0]:
        counts = [0, *counts]
    return {"size": [mask.shape[0], mask.shape[1]], "counts": pack(counts) if compressed else counts}


def decode(rle: Rle) -> Bool[np.ndarray, "h w"]:
    """The mask that was encoded, Bool "h w".

    Raises:
        ValueError: the counts do not add up to the size.
    """
    counts = rle["counts"]
    runs = unpack(counts) if isinstance(counts, str) else counts
    height, width = rle["size"]
    if sum(runs) != height * width or any(run < 0 for run in runs):
        raise ValueError(f"runs of {sum(runs)} pixels do not fill a mask of {height} x {width}")
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape((height, width), order="F")


def pack(counts: Sequence[int]) -> str:
    """Counts as a string; see the module's docstring."""
    characters = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            group, value = value & 31, value >> 5
            # Done once what is left is only the sign, and the group's own top bit carries that sign.
            more = value != (-1 if group & 16 else 0)
            characters.append(chr(48 + (group | 32 if more else group)))
    return "".join(characters)


def unpack(packed: str) -> list[int]:
    """Counts from a string; see the module's docstring."""
    counts: list[int] = []
    value = shift = 0
    for character in packed:
        group = ord(character) - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
