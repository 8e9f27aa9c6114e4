"""One photo, segmented in several ways: with other settings, or by other models."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pnpovss.errors import InvalidInputError
from pnpovss.images import ImageSource, load_image
from pnpovss.results.figures.marked import side_by_side_figure
from pnpovss.results.segmentation import Segmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["side_by_side"]


def side_by_side(photo: ImageSource, results: Mapping[str, Segmentation]) -> "Figure":
    """The results beside each other, each under its title, with the names, shares and match scores of each.

    Args:
        photo: the one that was segmented.
        results: by title, in order; at least one.

    Raises:
        InvalidInputError: no results, or one of a photo of another size.
        MissingExtraError: matplotlib is not installed.
    """
    pixels = np.asarray(load_image(photo, max_pixels=None))
    if not results:
        raise InvalidInputError("there are no results to lay side by side; give at least one, by its title")
    for title, result in results.items():
        if result.size != pixels.shape[:2]:
            raise InvalidInputError(
                f"{title!r} is of a photo of {result.size[1]} x {result.size[0]} pixels, this one has "
                f"{pixels.shape[1]} x {pixels.shape[0]}; give results of the same photo"
            )
    return side_by_side_figure(pixels, {title: (result.labels, result.shown) for title, result in results.items()})
