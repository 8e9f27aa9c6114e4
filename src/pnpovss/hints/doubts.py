"""Names that got pixels though the model itself holds them to be absent."""

from pnpovss.results.segmentation import Segmentation

__all__ = ["DOUBTFUL", "doubts"]

DOUBTFUL = 0.1
"""A match score below which the model holds a name to be absent."""


def doubts(result: Segmentation) -> str | None:
    """A line on the names that got pixels though the model doubts that they are there; None where there are none.

    The method gives every name that is asked for its best place, and leaves it to the asker that it has one.
    """
    if result.name_match is None:
        return None
    absent = [
        str(name)
        for name, score, share in zip(result.names, result.name_match, result.shares, strict=True)
        if score < DOUBTFUL and share
    ]
    if not absent:
        return None
    return f"hardly there, by its match score: {', '.join(absent)}; --presence itm leaves such names out"
