"""Small data sets on the disk, and a filter that asks for what the truth holds."""

from pathlib import Path

import numpy as np
from PIL import Image

from pnpovss.config import Background
from pnpovss.datasets.base import Dataset, LabelSpace, Sample
from pnpovss.names import Name
from pnpovss.presence.base import Photo, Presence

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SIDE = 32


class Oracle:
    """Asks for what the truth holds, and counts its calls."""

    key = "oracle"

    def __init__(self):
        self.calls = 0

    def decide(self, photo: Photo, names):
        self.calls += 1
        return Presence(kept=tuple(photo.truth), scores=tuple(float(i in photo.truth) for i in range(len(names))))

    def report(self):
        return {"calls": self.calls}


def colour_space(**changes) -> LabelSpace:
    fields = {
        "key": "colours",
        "names": tuple(map(Name, COLOURS)),
        "ids": (1, 2, 3),
        "background_id": 0,
        "ignored": frozenset({255}),
        "background": Background(policy="always"),
    }
    return LabelSpace(**{**fields, **changes})


def write_photo(root: Path, key: str, mask: np.ndarray) -> Sample:
    """Grey where the mask is 0 or 255, the colour of the class elsewhere."""
    pixels = np.full((*mask.shape, 3), 128, np.uint8)
    for value, rgb in enumerate(COLOURS.values(), start=1):
        pixels[mask == value] = rgb
    Image.fromarray(pixels).save(root / f"{key}.png")
    Image.fromarray(mask.astype(np.uint8)).save(root / f"{key}_mask.png")
    return Sample(key, root / f"{key}.png", root / f"{key}_mask.png")


def colour_dataset(root: Path, count: int = 6, space: LabelSpace | None = None) -> Dataset:
    """Photos with rectangles of colours on grey; the i-th has i % 3 + 1 of them, one has none."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    samples = []
    for i in range(count):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for value in range(1, i % 4 + 1):
            top, left = random.integers(0, SIDE - 12, 2)
            mask[top : top + 12, left : left + 12] = value
        mask[0, :4] = 255
        samples.append(write_photo(root, f"photo{i}", mask))
    return Dataset(space or colour_space(), root, samples)
