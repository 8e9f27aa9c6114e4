"""A folder that FiftyOne imports as `fiftyone.types.ImageSegmentationDirectory`: data/, labels/, mask_targets.json."""

import json
from collections.abc import Iterator
from pathlib import Path

from pnpovss.batch.export.masks import index_png
from pnpovss.batch.export.photos import flat_name, photo_file
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Run

__all__ = ["FIFTYONE"]


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """data/NAME.jpg, labels/NAME.png (gray, values are categories), and what the values mean."""
    for name in ("data", "labels"):
        (folder / name).mkdir()
    told = {str(number): name for name, number in run.categories.items()}
    (folder / "mask_targets.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for photo in run.photos():
        name = flat_name(photo.stem)
        suffix, content = photo_file(photo)
        (folder / "data" / f"{name}{suffix}").write_bytes(content)
        (folder / "labels" / f"{name}.png").write_bytes(index_png(photo.labels, len(run.categories), colours=False))
        yield photo.stem


FIFTYONE = FormatSpec("fiftyone", "for FiftyOne: ImageSegmentationDirectory and mask_targets.json", write)
