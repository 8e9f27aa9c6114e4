"""From the patch maps of names to a label map, every step that the settings leave on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from pnpovss.config import Config, CrfSettings
from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian
from pnpovss.refine.scores import add_background, gaussian_blur, normalise, resize, softmax, threshold

__all__ = ["Refined", "crf_terms", "refine", "score_maps"]


@dataclass(frozen=True)
class Refined:
    """A label map and the probabilities it is the argmax of.

    Attributes:
        labels: Integer "h w"; 0 is the background, i + 1 the i-th name.
        scores: Float32 "name h w" in [0, 1].
        background_score: Float32 "h w" in [0, 1]; None without a background. Together they sum to 1 per pixel.
    """

    labels: Integer[np.ndarray, "h w"]
    scores: Float[np.ndarray, "name h w"]
    background_score: Float[np.ndarray, "h w"] | None


def refine(
    maps: Float[Tensor, "name gh gw"],
    image: UInt8[np.ndarray, "h w 3"],
    config: Config,
    crf: DenseCRF | None = None,
) -> Refined:
    """Threshold, resize, background, blur, Dense CRF, argmax: every step that `config` leaves on.

    Args:
        maps: non-negative map of each name on the patch grid.
        image: RGB pixels in [0, 255], at the size of the label map.
        config: which steps, and how.
        crf: a Dense CRF over this image with the terms of `config.crf`, to use its filters again; None builds one.
    """
    has_background = config.background.applies(len(maps))
    probabilities = score_maps(maps, image.shape[:2], config)
    if config.crf is not None:
        crf = crf or DenseCRF(image, pairwise=crf_terms(config.crf))
        probabilities = crf.infer(probabilities=probabilities, iterations=config.crf.iterations).q
    dtype = np.uint8 if len(maps) < 256 else np.uint16
    labels = probabilities.argmax(axis=0).astype(dtype) + dtype(not has_background)
    if has_background:
        return Refined(labels, probabilities[1:], probabilities[0])
    return Refined(labels, probabilities, None)


def score_maps(
    maps: Float[Tensor, "name gh gw"], size: tuple[int, int], config: Config
) -> Float[np.ndarray, "label h w"]:
    """What the Dense CRF is given: each label's probability per pixel, background first where there is one."""
    kept = maps if config.threshold is None else threshold(maps, config.threshold)
    scores = resize(kept, size)
    if config.background.applies(len(maps)):
        scores = add_background(scores)
    if config.blur is not None:
        scores = gaussian_blur(scores, config.blur.sigma)
    return softmax(normalise(scores))


def crf_terms(settings: CrfSettings) -> list[Gaussian | Bilateral]:
    """The pairwise terms of the method's Dense CRF."""
    return [
        Gaussian(sxy=settings.gaussian_sxy, compat=settings.gaussian_compat),
        Bilateral(sxy=settings.bilateral_sxy, srgb=settings.bilateral_srgb, compat=settings.bilateral_compat),
    ]
