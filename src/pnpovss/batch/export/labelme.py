"""LabelMe's JSON: a folder of photos, and beside each a file of its name with a mask per name."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from pnpovss.batch.export.photos import flat_name, photo_file
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Found, Run, RunPhoto
from pnpovss.files.json import to_json
from pnpovss.results.regions import box_of

__all__ = ["LABELME"]


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """NAME.jpg and NAME.json, the photo's path in it being its name; and labels.txt for `labelme --labels`."""
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in run.categories), "utf-8")
    for photo in run.photos():
        name = flat_name(photo.stem)
        suffix, content = photo_file(photo)
        (folder / f"{name}{suffix}").write_bytes(content)
        (folder / f"{name}.json").write_bytes(to_json(_document(photo, f"{name}{suffix}"), indent=1) + b"\n")
        yield photo.stem


def _document(photo: RunPhoto, file: str) -> dict[str, Any]:
    height, width = photo.size
    return {
        "version": "5.5.0",  # of the form: the first releases that know masks write the same fields
        "flags": {},
        "shapes": [_shape(region) for region in photo.objects()],
        "imagePath": file,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _shape(region: Found) -> dict[str, Any]:
    """A mask: its box, corners inside, and what is in the box as a PNG of one bit per pixel."""
    left, top, width, height = box_of(region.mask)
    file = io.BytesIO()
    Image.fromarray(region.mask[top : top + height, left : left + width]).save(file, "PNG")
    return {
        "label": region.name,
        "points": [[left, top], [left + width - 1, top + height - 1]],
        "group_id": None,
        "description": "" if region.score is None else f"score {region.score:.4f}",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(file.getvalue()).decode("ascii"),
    }


LABELME = FormatSpec("labelme", "photos, and beside each a JSON file with a mask per name", write)
