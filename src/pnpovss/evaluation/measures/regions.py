"""What a label map did to each object of a photo: sizes, pieces, outlines. The raw material of every explanation.

Boundary IoU is that of Cheng et al. 2021 (arXiv 2103.16562): the IoU of the pixels of both masks that lie within a
distance of their own outline, 2% of the image's diagonal.
"""

from dataclasses import astuple, dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8

from pnpovss.datasets.base import IGNORE
from pnpovss.results.outlines import pieces, roughness

__all__ = ["Region", "boundary_band", "edge_share", "find_regions"]

BOUNDARY = 0.02  # width of a boundary, of the image's diagonal
EDGE_SIDE = 256  # photos are brought to this longer side before their edges are counted


@dataclass(frozen=True)
class Region:
    """One class in one image, in truth or prediction or both; pixels that the truth ignores count nowhere.

    Attributes:
        label: class index.
        truth: pixels in the truth.
        predicted: pixels in the prediction.
        hit: pixels in both.
        truth_parts: pieces in the truth, a stand-in for instances.
        predicted_parts: pieces in the prediction.
        boundary_hit: pixels of both boundaries.
        boundary_union: pixels of either boundary.
        truth_roughness: length of the outline over that of the smoothed mask; 1 is smooth.
        predicted_roughness: the same of the prediction.
    """

    label: int
    truth: int
    predicted: int
    hit: int
    truth_parts: int
    predicted_parts: int
    boundary_hit: int
    boundary_union: int
    truth_roughness: float
    predicted_roughness: float

    @property
    def iou(self) -> float:
        """Intersection over union in this image, in [0, 1]."""
        return self.hit / (self.truth + self.predicted - self.hit)

    @property
    def recall(self) -> float:
        """Share of the object that was found, in [0, 1]; 0 without an object."""
        return self.hit / self.truth if self.truth else 0.0

    @property
    def precision(self) -> float:
        """Share of the mask that is on the object, in [0, 1]; 0 without a mask."""
        return self.hit / self.predicted if self.predicted else 0.0

    @property
    def row(self) -> list[int | float]:
        """As JSON-ready values; `Region(*row)` is the way back."""
        return list(astuple(self))


def find_regions(
    truth: Integer[np.ndarray, "h w"], predicted: Integer[np.ndarray, "h w"], background: int | None
) -> list[Region]:
    """One region for each class in the truth or the prediction, the background left out, by class.

    Args:
        truth: class indices, IGNORE where a pixel is left out.
        predicted: class indices, or NOTHING.
        background: the index of the background class, if there is one.
    """
    counted = truth != IGNORE
    labels = np.union1d(truth[counted], predicted[counted])
    return [
        _region(int(label), truth == label, (predicted == label) & counted)
        for label in labels
        if label >= 0 and label != background
    ]


def _region(label: int, truth: Bool[np.ndarray, "h w"], predicted: Bool[np.ndarray, "h w"]) -> Region:
    inner, outer = boundary_band(truth), boundary_band(predicted)
    return Region(
        label,
        truth=int(truth.sum()),
        predicted=int(predicted.sum()),
        hit=int((truth & predicted).sum()),
        truth_parts=pieces(truth),
        predicted_parts=pieces(predicted),
        boundary_hit=int((inner & outer).sum()),
        boundary_union=int((inner | outer).sum()),
        truth_roughness=round(roughness(truth), 3),
        predicted_roughness=round(roughness(predicted), 3),
    )


def boundary_band(mask: Bool[np.ndarray, "h w"], width: float = BOUNDARY) -> Bool[np.ndarray, "h w"]:
    """The pixels of a mask that lie within `width` (of the diagonal) of its outline; the image's frame is outline."""
    if not mask.any():
        return mask
    steps = max(1, round(width * float(np.hypot(*mask.shape))))
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=steps)[1:-1, 1:-1]
    return mask & (eroded == 0)


def edge_share(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Share of a photo's pixels that are edges (Canny at 256 px, after a light blur), in [0, 1]: how busy it is."""
    scale = EDGE_SIDE / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    return float((cv2.Canny(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 50, 150) > 0).mean())
