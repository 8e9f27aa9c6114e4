"""Small pictures as text, so that a run's records alone can be shown: photos as JPEG, class maps as PNG, in base64.

What is read back is checked: a record may come from anywhere.
"""

from base64 import b64decode, b64encode
from io import BytesIO

import cv2
import numpy as np
from jaxtyping import Integer
from PIL import Image

from pnpovss.datasets.base import NOTHING
from pnpovss.errors import InvalidInputError

__all__ = [
    "CLASSES_SIDE",
    "PHOTO_SIDE",
    "decode_classes",
    "decode_photo",
    "encode_classes",
    "encode_photo",
    "index_png",
]

CLASSES_SIDE, PHOTO_SIDE = 160, 220  # longer side [px]
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def index_png(classes: Integer[np.ndarray, "h w"], count: int) -> bytes:
    """A grey PNG whose values are class indices; NOTHING and IGNORE are the greatest value (255, or 65535 in 16 bits).

    Args:
        classes: indices from -1.
        count: how many classes there are; more than 255 need 16 bits.
    """
    dtype = np.uint8 if count <= 255 else np.uint16
    values = np.where(classes == NOTHING, np.iinfo(dtype).max, classes).astype(dtype)
    return cv2.imencode(".png", values)[1].tobytes()


def encode_classes(classes: Integer[np.ndarray, "h w"], count: int, side: int = CLASSES_SIDE) -> str:
    """Class indices at no more than `side` pixels, as base64 of a PNG; nearest neighbour."""
    scale = min(1.0, side / max(classes.shape))
    size = max(1, round(classes.shape[1] * scale)), max(1, round(classes.shape[0] * scale))
    small = cv2.resize(classes.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
    return b64encode(index_png(small, count)).decode("ascii")


def decode_classes(text: str) -> Integer[np.ndarray, "h w"]:
    """What `encode_classes` wrote, -1 where there is no class.

    Raises:
        InvalidInputError: it is something else.
    """
    image = _open(text, "PNG", CLASSES_SIDE)
    if image.mode not in ("L", "I;16"):
        raise InvalidInputError(f"a class map of a record is a grey PNG, got mode {image.mode}")
    values = np.asarray(image).astype(np.int32)
    return np.where(values == (255 if image.mode == "L" else 65535), NOTHING, values)


def encode_photo(image: Image.Image) -> str:
    """A photo at no more than 220 pixels, as base64 of a JPEG."""
    small = image.copy()
    small.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    data = BytesIO()
    small.save(data, "JPEG", quality=80)
    return b64encode(data.getvalue()).decode("ascii")


def decode_photo(text: str) -> Image.Image:
    """What `encode_photo` wrote, RGB.

    Raises:
        InvalidInputError: it is something else.
    """
    return _open(text, "JPEG", PHOTO_SIDE).convert("RGB")


def _open(text: str, kind: str, side: int) -> Image.Image:
    try:
        image = Image.open(BytesIO(b64decode(text, validate=True)), formats=[kind])
        if max(image.size) > side:
            raise InvalidInputError(f"a picture of a record has at most {side} px a side, got {image.size}")
        image.load()
    except _DAMAGE as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"a picture of a record is no {kind}: it was altered or is damaged ({error})"
        ) from error
    return image
