"""Small class maps as text, so that a run's records alone can be shown as pictures."""

from base64 import b64decode, b64encode

import cv2
import numpy as np
from jaxtyping import Integer

from pnpovss.datasets.base import NOTHING

__all__ = ["PREVIEW_SIDE", "decode_classes", "encode_classes", "index_png"]

PREVIEW_SIDE = 160  # longer side [px]


def index_png(classes: Integer[np.ndarray, "h w"], count: int) -> bytes:
    """A grey PNG whose values are class indices; NOTHING and IGNORE are the greatest value (255, or 65535 in 16 bits).

    Args:
        classes: indices from -1.
        count: how many classes there are; more than 255 need 16 bits.
    """
    dtype = np.uint8 if count <= 255 else np.uint16
    values = np.where(classes == NOTHING, np.iinfo(dtype).max, classes).astype(dtype)
    return cv2.imencode(".png", values)[1].tobytes()


def encode_classes(classes: Integer[np.ndarray, "h w"], count: int, side: int = PREVIEW_SIDE) -> str:
    """Class indices at no more than `side` pixels, as base64 of a PNG; nearest neighbour."""
    scale = min(1.0, side / max(classes.shape))
    size = max(1, round(classes.shape[1] * scale)), max(1, round(classes.shape[0] * scale))
    small = cv2.resize(classes.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
    return b64encode(index_png(small, count)).decode("ascii")


def decode_classes(text: str) -> Integer[np.ndarray, "h w"]:
    """What `encode_classes` wrote, -1 where there is no class."""
    values = cv2.imdecode(np.frombuffer(b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)
    assert values is not None
    nothing = 255 if values.dtype == np.uint8 else 65535
    return np.where(values == nothing, NOTHING, values.astype(np.int32))
