"""The contact sheet: what each head sees in a few photos. This is what people look at."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from PIL import Image

from pnpovss.images import load_image
from pnpovss.tuning.outcome import Outcome
from pnpovss.tuning.tables import Rows

__all__ = ["PHOTOS", "Sheet", "SheetRow", "sheet"]

PHOTOS = 5
_SIDE = 132  # px, the longer one


@dataclass(frozen=True)
class SheetRow:
    """One head.

    Attributes:
        head: as "7.9".
        value: its best reward; None where it has none.
        tried_on: how many photos that is the mean over.
        pictures: each photo in grey, what the head sees over it.
    """

    head: str
    value: float | None
    tried_on: int
    pictures: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Sheet:
    """All heads.

    Attributes:
        names: that the heads were asked for, one per photo.
        photos: small.
        rows: heads that were tried on most photos first, of these the best one first.
    """

    names: tuple[str, ...]
    photos: tuple[Image.Image, ...]
    rows: tuple[SheetRow, ...]


def sheet(outcome: Outcome, heads: Rows) -> Sheet:
    """A few photos, and each head's heat map for the first name of each.

    Args:
        outcome: of the tuning.
        heads: from `head_rows`.
    """
    shown = outcome.photos.photos[:PHOTOS]
    photos, heats = [], []
    for i, photo in enumerate(shown):
        image = load_image(photo.image).convert("RGB")
        image.thumbnail((_SIDE, _SIDE))
        photos.append(image)
        heats.append(outcome.collected.heat(i)[:, 0].numpy())
    rows = []
    for place, row in enumerate(heads):
        pictures = tuple(_overlay(image, heat[place]) for image, heat in zip(photos, heats, strict=True))
        tried_on = row.get("photos", outcome.plan.photos)  # measures are of all photos
        rows.append(SheetRow(f"{row['layer']}.{row['head']}", row[outcome.plan.reward], tried_on, pictures))
    rows.sort(key=lambda row: (-row.tried_on, -(row.value if row.value is not None else -np.inf)))
    return Sheet(tuple(photo.names[0].text for photo in shown), tuple(photos), tuple(rows))


def _overlay(image: Image.Image, heat: Float[np.ndarray, "gh gw"]) -> Image.Image:
    """The photo in grey, the map over it."""
    low, high = heat.min(), heat.max()
    parts = ((heat - low) / (high - low) if high > low else np.zeros_like(heat)).astype(np.float32)
    large = cv2.resize(parts, image.size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * large).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    return Image.fromarray((0.45 * grey + 0.55 * colours).astype(np.uint8))
