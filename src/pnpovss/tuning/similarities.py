"""What a judge says of one photo shown through masks: stored once, and every reward is a function of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from pnpovss.names import Name
from pnpovss.tuning.judges import Judge

__all__ = ["NOTHING", "Looks", "Similarities", "judged"]

NOTHING = 0  # the row of a photo of which nothing is seen


@dataclass(frozen=True, eq=False)
class Similarities:
    """A judge's logits for one photo, seen not at all, and through the masks of all cells.

    Attributes:
        names: indices into the vocabulary of what is in the photo.
        rows: the logits of each different look at the photo; row 0 is that of nothing.
        kept: the row in which only a cell's mask of a name is seen.
        deleted: the row in which all but that mask is seen.
    """

    names: tuple[int, ...]
    rows: Float[np.ndarray, "row word"]
    kept: Integer[np.ndarray, "cell name"]
    deleted: Integer[np.ndarray, "cell name"]


class Looks:
    """Masks of one photo, equal ones once; the first is that of nothing.

    Attributes:
        masks: in the order of their rows.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.masks: list[Bool[Tensor, "h w"]] = []
        self._rows: dict[bytes, int] = {}
        self.add(torch.zeros(size, dtype=torch.bool))

    def add(self, mask: Bool[Tensor, "h w"]) -> int:
        """The row of a mask."""
        mask = mask.cpu()
        key = np.packbits(mask.numpy()).tobytes()
        if key not in self._rows:
            self._rows[key] = len(self.masks)
            self.masks.append(mask)
        return self._rows[key]


def judged(
    judge: Judge,
    pixels: Float[Tensor, "3 h w"],
    names: Sequence[int],
    masks: Iterable[Sequence[Bool[Tensor, "h w"]]],
    vocabulary: Sequence[Name],
    batch: int = 16,
) -> Similarities:
    """Show a photo to a judge through the masks of all cells, each different mask once.

    Args:
        judge: who looks.
        pixels: the photo, from `judge.pixels`.
        names: indices into the vocabulary of what is in it.
        masks: of each cell, one for each of `names`.
        vocabulary: what the judge chooses between.
        batch: looks at once.
    """
    looks, kept, deleted = Looks((pixels.shape[1], pixels.shape[2])), [], []
    for of_cell in masks:
        kept.append([looks.add(mask) for mask in of_cell])
        deleted.append([looks.add(~mask) for mask in of_cell])
    parts = []
    for start in range(0, len(looks.masks), batch):
        seen = torch.stack(looks.masks[start : start + batch]).to(pixels.device)
        parts.append(judge.logits(pixels[None] * seen[:, None], vocabulary).float().cpu())
    return Similarities(tuple(names), torch.cat(parts).numpy(), np.array(kept, np.int32), np.array(deleted, np.int32))
