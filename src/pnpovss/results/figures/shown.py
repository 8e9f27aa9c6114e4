"""What a figure says of a name: its words, what became of it, and where the model looks for it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pnpovss.results.legend import percent

__all__ = ["Shown", "note_of"]


@dataclass(frozen=True, eq=False)
class Shown:
    """A name in a figure; its place in the list gives its colour and its label.

    Attributes:
        name: what was asked for.
        note: its share of the pixels and match score, or that it is absent.
        drawn: whether it has pixels.
        heat: Float32 "gh gw", not negative, where the model looks; None for a name that was left out.
    """

    name: str
    note: str
    drawn: bool
    heat: Float[np.ndarray, "gh gw"] | None


def note_of(share: float, *, kept: bool, match: float | None) -> str:
    """What became of a name, with its match score where it is known.

    Args:
        share: of the pixels, in [0, 1].
        kept: whether it was looked for.
        match: probability in [0, 1] that it is in the photo.
    """
    found = percent(share) if kept else "absent"
    return found if match is None else f"{found}, match {match:.2f}"
