"""COCO's JSON of a whole run: annotations.json beside a folder of the photos; masks as run lengths, exact."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pnpovss.batch.export.photos import flat_name, photo_file, suffixed
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Found, Run
from pnpovss.results import rle
from pnpovss.results.regions import box_of

__all__ = ["COCO"]


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """annotations.json and, with photos, images/; annotations are written as they come, images after them."""
    images = folder / "images.part"
    with (  # bytes of a file name that are no text become escapes, as JSON has them
        (folder / "annotations.json").open("w", encoding="utf-8", errors="backslashreplace") as file,
        images.open("w+", encoding="utf-8", errors="backslashreplace") as kept,
    ):
        file.write('{"annotations": [')
        annotation = 0
        for number, photo in enumerate(run.photos(), start=1):
            name = suffixed(photo.stem, photo)
            if photos:
                suffix, content = photo_file(photo)
                name = f"{flat_name(photo.stem)}{suffix}"
                (folder / "images").mkdir(exist_ok=True)
                (folder / "images" / name).write_bytes(content)
            height, width = photo.size
            image = {"id": number, "file_name": name, "height": height, "width": width}
            kept.write(f"{',' if number > 1 else ''}\n{_json(image)}")
            for region in photo.objects():
                annotation += 1
                file.write(f"{',' if annotation > 1 else ''}\n{_json(_annotation(annotation, number, region))}")
            yield photo.stem
        file.write('\n],\n"images": [')
        kept.seek(0)
        file.writelines(kept)
        categories = [{"id": i, "name": name, "supercategory": ""} for name, i in run.categories.items()]
        file.write(
            f'\n],\n"categories": {_json(categories)},\n"info": {_json({"description": "pnpovss"})}, "licenses": []}}\n'
        )
    images.unlink()


def _annotation(number: int, image: int, region: Found) -> dict[str, Any]:
    told = {
        "id": number,
        "image_id": image,
        "category_id": region.category,
        "segmentation": rle.encode(region.mask),
        "area": int(region.mask.sum()),
        "bbox": list(box_of(region.mask)),
        "iscrowd": 0,
    }
    return told if region.score is None else {**told, "score": round(region.score, 6)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


COCO = FormatSpec("coco", "one annotations.json with run-length masks, and images/", write, photos=False)
