"""Masks as pictures: per photo one with the categories as values, and one per name."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pnpovss.batch.export.photos import photo_file
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Run
from pnpovss.results.colours import palette
from pnpovss.results.labels import label_dtype

__all__ = ["MASKS", "index_png"]


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """labels/STEM.png (values are categories), masks/STEM/CATEGORY.png (0 and 255), categories.json, photos/."""
    told = {"0": "background", **{str(number): name for name, number in run.categories.items()}}
    (folder / "categories.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for photo in run.photos():
        _write(folder / "labels" / f"{photo.stem}.png", index_png(photo.labels, len(run.categories)))
        for region in photo.regions():
            file = io.BytesIO()
            Image.fromarray(region.mask).save(file, "PNG")  # 1 bit per pixel
            _write(folder / "masks" / photo.stem / f"{region.category}.png", file.getvalue())
        if photos:
            suffix, content = photo_file(photo)
            _write(folder / "photos" / f"{photo.stem}{suffix}", content)
        yield photo.stem


def index_png(labels: np.ndarray, categories: int, *, colours: bool = True) -> bytes:
    """A label map as a PNG, with a palette where there are `colours`; 16-bit gray beyond 255 categories."""
    picture = Image.fromarray(labels.astype(label_dtype(categories)))
    if categories <= 255 and colours:
        picture = picture.convert("L")
        picture.putpalette(palette(categories).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


MASKS = FormatSpec("masks", "PNG pictures: one per photo with categories as values, one per name", write, photos=False)
