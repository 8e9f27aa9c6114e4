"""Arrays as small texts that a page or program can draw: bytes and PNG files in base64."""

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, Integer
from PIL import Image

__all__ = ["bits", "gray_png", "label_png", "levels", "number_png", "photo_jpeg", "png_bytes", "shrunk", "text_of"]


def text_of(content: bytes) -> str:
    """Base64."""
    return base64.b64encode(content).decode("ascii")


def levels(values: Float[np.ndarray, "gh gw"]) -> dict[str, float | str]:
    """A map that is not negative: its greatest value, and each value as a byte, 255 for the greatest."""
    top = float(values.max(initial=0.0))
    scaled = np.rint(values * (255 / top)) if top > 0 else np.zeros_like(values)
    return {"top": top, "values": text_of(scaled.astype(np.uint8).tobytes())}


def bits(kept: Bool[np.ndarray, "gh gw"]) -> str:
    """A byte per patch, 1 or 0."""
    return text_of(kept.astype(np.uint8).tobytes())


def shrunk(size: tuple[int, int], most: int) -> tuple[int, int]:
    """(height, width) with the longer side at most `most`; a smaller one stays as it is."""
    scale = min(1.0, most / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (((np.arange(n) + 0.5) * (full / n)).astype(int) for n, full in zip(size, array.shape, strict=True))
    return array if size == array.shape else array[rows[:, None], columns]


def label_png(labels: Integer[np.ndarray, "h w"], size: tuple[int, int]) -> str:
    """A label map as a gray PNG whose levels are the labels, at another size by nearest neighbours.

    Args:
        labels: 0 is the background, i + 1 the i-th name; at most 255.
        size: (height, width) [px].
    """
    return text_of(png_bytes(Image.fromarray(np.ascontiguousarray(_nearest(labels, size).astype(np.uint8)))))


def number_png(numbers: Integer[np.ndarray, "h w"], size: tuple[int, int]) -> str:
    """Numbers as an RGB PNG, red + 256 green, at another size by nearest neighbours.

    Browsers draw no more than 8 bits of a gray one.

    Args:
        numbers: in [0, 65535].
        size: (height, width) [px].
    """
    small = _nearest(numbers, size)
    levels = np.stack([small & 255, small >> 8, np.zeros_like(small)], axis=2).astype(np.uint8)
    return text_of(png_bytes(Image.fromarray(levels)))


def gray_png(values: Float[np.ndarray, "h w"], size: tuple[int, int]) -> str:
    """Values in [0, 1] as a gray PNG, 255 for 1, at another size by nearest neighbours."""
    small = np.rint(_nearest(values, size).clip(0, 1) * 255).astype(np.uint8)
    return text_of(png_bytes(Image.fromarray(np.ascontiguousarray(small))))


def photo_jpeg(photo: Image.Image, size: tuple[int, int]) -> str:
    """A photo as a JPEG file to be looked at, at another size (height, width)."""
    file, (height, width) = io.BytesIO(), size
    photo.resize((width, height), reducing_gap=2).save(file, "JPEG", quality=90)
    return text_of(file.getvalue())


def png_bytes(picture: Image.Image) -> bytes:
    """A picture as a PNG file, packed fast rather than small."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
