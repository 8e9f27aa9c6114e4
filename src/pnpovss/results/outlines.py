"""The outline of one mask: in how many pieces it is, and how rough."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

__all__ = ["pieces", "roughness"]

SPECK = 0.0005  # pieces below this share of the image are not counted as pieces
SMOOTH = 0.01  # radius of the smoothing that roughness compares with, of the image's diagonal


def pieces(mask: Bool[np.ndarray, "h w"]) -> int:
    """Pieces of a mask, 8-connected, specks left out; at least 1 where the mask is not empty."""
    if not mask.any():
        return 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return max(1, int((areas >= SPECK * mask.size).sum()))


def roughness(mask: Bool[np.ndarray, "h w"]) -> float:
    """Length of the outline over that of the smoothed mask: 1 is smooth, 2 has teeth; 1 for an empty mask.

    The mask is opened and closed by a disk of 1% of the diagonal, which removes specks and fills gaps below that size.
    """
    if not mask.any():
        return 1.0
    radius = max(1, round(SMOOTH * float(np.hypot(*mask.shape))))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    margin = 2 * radius
    # Mirrored, so that an object cut by the frame is smooth along it.
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    smooth = cv2.morphologyEx(cv2.morphologyEx(framed, cv2.MORPH_CLOSE, disk), cv2.MORPH_OPEN, disk)
    smooth = smooth[margin:-margin, margin:-margin]
    length = _outline(smooth)
    # A mask thinner than the disk vanishes; there is nothing smooth to compare with.
    return _outline(mask.astype(np.uint8)) / length if length else 1.0


def _outline(mask: UInt8[np.ndarray, "h w"]) -> int:
    """Edges between pixels of unlike value; the image's frame is none."""
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())
