"""Names that the model holds to be absent: those that were left out, and those that were painted all the same."""

from collections.abc import Iterable, Sequence

from pnpovss.backbones.base import Card
from pnpovss.results.segmentation import Segmentation

__all__ = ["DOUBTFUL", "doubts"]

DOUBTFUL = 0.1
"""A match score below which the model holds a name to be absent."""


def doubts(result: Segmentation, card: Card) -> list[str]:
    """Lines on names that were left out, and on names that got pixels though the model doubts that they are there.

    The method gives every name that it looks for its best place, and leaves it to the asker that it has one.

    Args:
        result: of one photo.
        card: of the model; of one whose match is no yes or no, a low score casts no doubt.
    """
    absent = [i for i in range(len(result.names)) if i not in result.kept]
    lines = []
    if absent:
        start = "left out as absent" if result.kept else "nothing that was asked for is held to be in the photo"
        decided = result.provenance.config.presence is not None  # by the match; another's judgement has other reasons
        scores = result.name_match if decided else None
        lines.append(f"{start}: {_listed(result, absent, scores)} (more: docs/presence.md)")
    painted = [i for i in result.kept if result.shares[i] and _doubtful(result, i)]
    if painted and card.recommended.tells_absence:
        told = _listed(result, painted, result.name_match)
        lines.append(
            f"hardly there, by its match score: {told}; the step presence leaves such names out "
            "(--set presence.above=0.5, with neither --presence nor --without presence)"
        )
    return lines


def _doubtful(result: Segmentation, index: int) -> bool:
    return result.name_match is not None and result.name_match[index] < DOUBTFUL


def _listed(result: Segmentation, indices: Iterable[int], scores: Sequence[float] | None) -> str:
    """Names, with the match scores that speak of them."""
    return ", ".join(
        repr(result.names[i].text) + ("" if scores is None else f" (match {scores[i]:.2f})") for i in indices
    )
