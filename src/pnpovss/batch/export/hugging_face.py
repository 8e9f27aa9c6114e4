"""A folder that `datasets.load_dataset("imagefolder", data_dir=...)` reads: photos, masks, metadata.jsonl."""

import json
from collections.abc import Iterator
from pathlib import Path

from pnpovss.batch.export.masks import index_png
from pnpovss.batch.export.photos import flat_name, photo_file
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Run

__all__ = ["HUGGING_FACE"]


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """categories.json, and in train/: images/, masks/ (values are categories), metadata.jsonl with names and shares."""
    # `datasets` takes splits from words in file names ("test-1.jpg") and loses what is in none; a folder's word counts.
    split = folder / "train"
    for name in ("images", "masks"):
        (split / name).mkdir(parents=True)
    told = {"0": "background", **{str(number): name for name, number in run.categories.items()}}
    (folder / "categories.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    with (split / "metadata.jsonl").open("w", encoding="utf-8") as lines:
        for photo in run.photos():
            name = flat_name(photo.stem)
            (split / "masks" / f"{name}.png").write_bytes(index_png(photo.labels, len(run.categories)))
            suffix, content = photo_file(photo)
            (split / "images" / f"{name}{suffix}").write_bytes(content)
            found = [(region.name, region.category, float(region.mask.mean())) for region in photo.regions()]
            line = {
                "file_name": f"images/{name}{suffix}",
                "mask_file_name": f"masks/{name}.png",
                "names": [name for name, _, _ in found],
                "categories": [category for _, category, _ in found],
                "shares": [round(share, 6) for _, _, share in found],
            }
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            yield photo.stem


HUGGING_FACE = FormatSpec("huggingface", "train/ for Hugging Face's datasets: images/, masks/, metadata.jsonl", write)
