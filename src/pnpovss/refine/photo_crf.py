"""The Dense CRF of a photo: at its size, or, for a large photo, smaller and with the edges drawn at full size."""

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from pnpovss.config import CrfSettings
from pnpovss.refine.edges import draw_edges
from pnpovss.refine.enlarge import Size

if TYPE_CHECKING:
    from pnpovss.densecrf import Backend

__all__ = ["PhotoCrf", "working_size"]


class PhotoCrf:
    """The Dense CRF of one photo. Its filters are built at the first call and kept for further ones.

    Args:
        photo: RGB pixels in [0, 255]; the work is done on its device.
        settings: widths and weights, iterations, and from what size on it works on a smaller photo.
        backend: "auto" (numba on the CPU, torch elsewhere), or one of the two.

    Attributes:
        size: (height, width) it works at [px].
    """

    def __init__(self, photo: UInt8[Tensor, "h w 3"], settings: CrfSettings, backend: "Backend" = "auto") -> None:
        from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian

        self._photo, self._iterations = photo, settings.iterations
        height, width = photo.shape[:2]
        self.size = working_size((height, width), settings.max_pixels)
        self._small = _means_of_areas(photo, self.size)
        # Widths are in pixels of the photo. Weights need no change: kernels are normalised.
        shrink = self.size[1] / width, self.size[0] / height
        terms = [
            Gaussian(_scaled(settings.gaussian_sxy, shrink), settings.gaussian_compat),
            Bilateral(_scaled(settings.bilateral_sxy, shrink), settings.bilateral_srgb, settings.bilateral_compat),
        ]
        self._crf = DenseCRF(self._small, terms, backend=backend)

    def __call__(
        self, probabilities: Float[Tensor, "label sh sw"], go_on: Callable[[], Any] = lambda: None
    ) -> Float[Tensor, "label h w"]:
        """Q at the photo's size from score maps at the size it works at; float32, sums to 1 over labels.

        Args:
            probabilities: of each label, in [0, 1].
            go_on: called before each iteration; what it raises ends the work.
        """
        q = self._crf.infer(probabilities=probabilities, iterations=self._iterations, go_on=go_on).q
        return q if self._small is self._photo else draw_edges(q, self._small, self._photo)


def working_size(size: Size, max_pixels: int | None) -> Size:
    """(height, width) of a photo of `size`, reduced to at most `max_pixels`."""
    height, width = size
    if max_pixels is None or height * width <= max_pixels:
        return size
    shrink = sqrt(max_pixels / (height * width))
    # A strip of pixels keeps one of them.
    return max(1, min(int(height * shrink), max_pixels)), max(1, min(int(width * shrink), max_pixels))


def _scaled(width: float, shrink: tuple[float, float]) -> tuple[float, float]:
    return width * shrink[0], width * shrink[1]


def _means_of_areas(photo: UInt8[Tensor, "h w 3"], size: Size) -> UInt8[Tensor, "sh sw 3"]:
    if size == tuple(photo.shape[:2]):
        return photo
    # One channel at a time, because they are float32 for a while.
    small = [F.adaptive_avg_pool2d(channel.float()[None], size)[0] for channel in photo.unbind(dim=2)]
    return torch.stack(small, dim=2).round_().to(torch.uint8)
