"""What each step of the method made of one photo, to be looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer

from pnpovss.images import ImageSource, load_image
from pnpovss.results.figures.passes import PassPicture, animation_bytes, passes_figure
from pnpovss.results.figures.walk import walk_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Steps"]


@dataclass(frozen=True, eq=False)
class Steps:
    """One photo, from attention to labels; of the whole photo, without views.

    Attributes:
        names: those that were looked for.
        maps: Float32 "name gh gw" by step: attention, then GradCAM (or LeGrad), the sum of the passes and threshold, as
            far as they are on.
        passes: of Salience Dropout, in order; one where it is off.
        stages: label maps "h w" by step, each with the steps before it: "threshold", "blur" and "Dense CRF", as far as
            they are on.
    """

    names: tuple[str, ...]
    maps: Mapping[str, Float[np.ndarray, "name gh gw"]]
    passes: tuple[PassPicture, ...]
    stages: Mapping[str, Integer[np.ndarray, "h w"]]

    def figure(self, photo: ImageSource) -> "Figure":
        """All steps on one page: a row per name from attention to threshold, then the label map after each step.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        pixels = np.asarray(load_image(photo, max_pixels=None))
        return walk_figure(pixels, self.names, self.maps, self.stages)

    def passes_figure(self, photo: ImageSource) -> "Figure":
        """The passes of Salience Dropout side by side: what each could see, and where it looked.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        return passes_figure(np.asarray(load_image(photo, max_pixels=None)), self.passes)

    def animation(self, photo: ImageSource, form: str = "webp", mark: str = "") -> bytes:
        """The passes as an animated file, a frame per pass.

        Args:
            photo: the one whose steps these are.
            form: webp or gif.
            mark: words that the file holds unseen, such as who made it.

        Raises:
            ConfigError: another form, or nothing to animate: Salience Dropout is off.
            MissingExtraError: matplotlib is not installed.
        """
        return animation_bytes(np.asarray(load_image(photo, max_pixels=None)), self.passes, form, mark)
