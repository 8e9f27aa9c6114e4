"""From the patch maps of names to a label map, every step that the settings leave on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from pnpovss.config import Config
from pnpovss.refine.photo_crf import PhotoCrf
from pnpovss.refine.scores import score_maps

__all__ = ["Refined", "nothing_found", "photo_beside", "refine"]


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


def nothing_found(size: tuple[int, int]) -> Refined:
    """What is found in a photo of (height, width) pixels that holds none of the names: background everywhere."""
    nowhere = np.zeros((0, *size), np.float32)
    return Refined(np.zeros(size, np.uint8), nowhere, np.ones(size, np.float32))


@torch.no_grad()
def refine(
    maps: Float[Tensor, "name gh gw"],
    image: UInt8[np.ndarray, "h w 3"],
    config: Config,
    crf: PhotoCrf | None = None,
    go_on: Callable[[], Any] = lambda: None,
) -> Refined:
    """Threshold, resize, background, blur, Dense CRF, argmax: every step that `config` leaves on.

    All of it is done where the maps are if that is a CUDA device, else on the CPU.

    Args:
        maps: non-negative map of each name on the patch grid.
        image: RGB pixels in [0, 255], at the size of the label map.
        config: which steps, and how.
        crf: the Dense CRF of this image and `config.crf`, to use its filters again; None builds one.
        go_on: called before each iteration of the Dense CRF; what it raises ends the work.
    """
    maps, size = maps if maps.is_cuda else maps.cpu(), image.shape[:2]
    if config.crf is None:
        probabilities = score_maps(maps, size, config)
    else:
        crf = crf or PhotoCrf(photo_beside(maps, image), config.crf)
        probabilities = crf(score_maps(maps, size, config, crf.size), go_on)
    has_background = config.background.applies(len(maps))
    labels = _labels(probabilities, 0 if has_background else 1)
    scores = probabilities.cpu().numpy()
    return Refined(labels, scores[1:], scores[0]) if has_background else Refined(labels, scores, None)


def photo_beside(maps: Float[Tensor, "name gh gw"], image: UInt8[np.ndarray, "h w 3"]) -> UInt8[Tensor, "h w 3"]:
    """The pixels where `refine` works on these maps, copied only where they have to be."""
    pixels = torch.from_numpy(image if image.flags.writeable else image.copy())
    return pixels.to(maps.device) if maps.is_cuda else pixels


def _labels(probabilities: Float[Tensor, "label h w"], first: int) -> Integer[np.ndarray, "h w"]:
    """The most probable label's number, counted from `first`; of equals the lowest.

    Label after label: torch's argmax over a first axis takes ten times as long, and eight bytes per pixel.
    """
    best = probabilities[0].clone()
    dtype = torch.uint8 if len(probabilities) + first <= 256 else torch.int32
    labels = torch.full_like(best, first, dtype=dtype)
    for number, probability in enumerate(probabilities[1:], first + 1):
        labels.masked_fill_(probability > best, number)
        torch.maximum(best, probability, out=best)
    return labels.cpu().numpy() if dtype == torch.uint8 else labels.cpu().numpy().astype(np.uint16)
