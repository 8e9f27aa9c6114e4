"""The contact sheet: what each head sees in a few photos. This is what people look at."""

import io
from base64 import b64encode
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from PIL import Image

from pnpovss.images import load_image
from pnpovss.tuning.outcome import Outcome

__all__ = ["PHOTOS", "SheetRow", "data_url", "sheet"]

PHOTOS = 5
_SIDE = 132  # px, the longer one


@dataclass(frozen=True)
class SheetRow:
    """One head.

    Attributes:
        head: as "7.9".
        value: its best reward; None where it has none.
        pictures: as data URLs, one for each photo.
    """

    head: str
    value: float | None
    pictures: tuple[str, ...]


def sheet(outcome: Outcome, values: dict[str, float | None]) -> tuple[list[str], list[str], list[SheetRow]]:
    """What is shown: each photo's name, the photos themselves, and each head's heat map for that name, best head first.

    Args:
        outcome: of the tuning.
        values: the best reward of each head, by "layer.head".
    """
    count = min(PHOTOS, len(outcome.photos.photos))
    small, heats = [], []
    for i in range(count):
        image = load_image(outcome.photos.photos[i].image).convert("RGB")
        image.thumbnail((_SIDE, _SIDE))
        small.append(image)
        heats.append(outcome.collected.heat(i)[:, 0].numpy())
    rows = []
    for place, (layer, head) in enumerate(outcome.collected.heads):
        pictures = tuple(_overlay(image, heat[place]) for image, heat in zip(small, heats, strict=True))
        rows.append(SheetRow(f"{layer}.{head}", values.get(f"{layer}.{head}"), pictures))
    rows.sort(key=lambda row: -(row.value if row.value is not None else -np.inf))
    names = [photo.names[0].text for photo in outcome.photos.photos[:count]]
    return names, [_jpeg(image) for image in small], rows


def _overlay(image: Image.Image, heat: Float[np.ndarray, "gh gw"]) -> str:
    """The photo in grey, the map over it."""
    low, high = heat.min(), heat.max()
    parts = ((heat - low) / (high - low) if high > low else np.zeros_like(heat)).astype(np.float32)
    large = cv2.resize(parts, image.size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * large).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    return _jpeg(Image.fromarray((0.45 * grey + 0.55 * colours).astype(np.uint8)))


def _jpeg(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=72)
    return data_url(content.getvalue(), "jpeg")


def data_url(content: bytes, kind: str) -> str:
    """A picture as part of a page."""
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
