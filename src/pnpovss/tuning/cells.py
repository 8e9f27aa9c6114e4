"""What is chosen between: one head, or the mean of some, at a threshold."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from pnpovss.config import Heads, Settings
from pnpovss.tuning.masks import authors_mask, level_masks

__all__ = ["THRESHOLDS", "Cell", "Masking", "cells_of", "masks_of"]

THRESHOLDS = (0.05, 0.15, 0.25, 0.35, 0.45)  # the authors'
Masking = Literal["level", "authors"]


@dataclass(frozen=True)
class Cell:
    """Some heads at a threshold.

    Attributes:
        heads: (layer, head) of each, 0-based; the maps of several are averaged.
        threshold: part of a map's range below which it is no more of the name's.
    """

    heads: Heads
    threshold: float

    @classmethod
    def of(cls, settings: Settings) -> "Cell":
        """What these settings read; without a threshold all of a map is the name's."""
        return cls(settings.all_heads, settings.threshold or 0.0)

    @property
    def heads_in_words(self) -> str:
        """As "7.9", layer and head, or "mean of 7.9, 8.2"."""
        words = ", ".join(f"{layer}.{head}" for layer, head in self.heads)
        return words if len(self.heads) == 1 else f"mean of {words}"

    def __str__(self) -> str:
        return f"{self.heads_in_words} at {self.threshold:g}"

    @property
    def settings(self) -> dict[str, object]:
        """As settings of the method, by name."""
        if len(self.heads) == 1:
            [(layer, head)] = self.heads
            return {"layer": layer, "head": head, "threshold": self.threshold}
        return {"heads": [list(each) for each in self.heads], "threshold": self.threshold}


def cells_of(heads: Iterable[Heads], thresholds: Sequence[float]) -> tuple[Cell, ...]:
    """Every choice of heads at every threshold."""
    return tuple(Cell(each, float(threshold)) for each in heads for threshold in thresholds)


def masks_of(
    cells: Sequence[Cell],
    heat: Float[Tensor, "head name gh gw"],
    heads: Heads,
    size: tuple[int, int],
    masking: Masking,
) -> Iterator[list[Bool[Tensor, "h w"]]]:
    """For each cell, the mask of each name.

    Args:
        cells: those of the same heads side by side, so that their map is enlarged once.
        heat: the maps of all heads.
        heads: which each of them is.
        size: (height, width) of the judge's input [px].
        masking: how a mask is made: "level" (ours) or "authors".
    """
    for _, group in groupby(cells, key=lambda cell: cell.heads):
        alike = list(group)
        mean = heat[[heads.index(head) for head in alike[0].heads]].mean(0)
        if masking == "level":
            yield from (list(masks) for masks in level_masks(mean, [cell.threshold for cell in alike], size))
        else:
            yield from ([authors_mask(each, cell.threshold, size) for each in mean] for cell in alike)
