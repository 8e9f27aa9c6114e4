"""Pre-annotations for Label Studio: tasks.json with brush masks, label_config.xml, images/.

A brush mask is a list of bytes: a bit stream that holds the number of values (32 bits), their width less one (5), four
run widths less one (4 each), then blocks: a bit that tells a run of one value from a list of values, two bits for which
width its length less one has, that length, and the value, or values. The values are the four channels of each pixel.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Bool

from pnpovss.batch.export.photos import flat_name, photo_file
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Run, RunPhoto
from pnpovss.results.colours import colour

__all__ = ["LABEL_STUDIO", "brush_rle"]

_WIDTHS = (3, 5, 9, 16)  # bits of a run's length


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """tasks.json, label_config.xml and images/; the images are found by Label Studio's local storage."""
    (folder / "images").mkdir()
    (folder / "label_config.xml").write_text(_config(run), "utf-8")
    with (folder / "tasks.json").open("w", encoding="utf-8") as file:
        file.write("[")
        for number, photo in enumerate(run.photos()):
            name = flat_name(photo.stem)
            suffix, content = photo_file(photo)
            (folder / "images" / f"{name}{suffix}").write_bytes(content)
            task = _task(photo, f"images/{name}{suffix}")
            file.write(f"{',' if number else ''}\n{json.dumps(task, ensure_ascii=False)}")
            yield photo.stem
        file.write("\n]\n")


def _task(photo: RunPhoto, image: str) -> dict[str, Any]:
    height, width = photo.size
    result = [
        {
            "id": f"{number}",
            "type": "brushlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            **({} if region.score is None else {"score": round(region.score, 6)}),
            "value": {"format": "rle", "rle": brush_rle(region.mask), "brushlabels": [region.name]},
        }
        for number, region in enumerate(photo.objects(), start=1)
    ]
    prediction = {"model_version": f"pnpovss {photo.record['provenance']['model']}", "result": result}
    return {"data": {"image": f"/data/local-files/?d={quote(image)}"}, "predictions": [prediction]}


def _config(run: Run) -> str:
    labels = "".join(
        f'    <Label value={quoteattr(name)} background="#{"{:02x}{:02x}{:02x}".format(*colour(number - 1))}"/>\n'
        for name, number in run.categories.items()
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )


def brush_rle(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """A mask as Label Studio's brush has it: four equal channels per pixel, 255 where it is set."""
    flat = mask.ravel()
    ends = np.flatnonzero(np.append(flat[1:] != flat[:-1], True)) + 1
    lengths = 4 * np.diff(ends, prepend=0)
    fields: list[tuple[int, int]] = [(4 * flat.size, 32), (7, 5), *((width - 1, 4) for width in _WIDTHS)]
    for end, length in zip(ends.tolist(), lengths.tolist(), strict=True):
        fields += _run(length, 255 if flat[end - 1] else 0)
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _run(length: int, value: int) -> Iterator[tuple[int, int]]:
    """A run of one value as (number, width in bits), in blocks as long as the widest length holds."""
    while length:
        block = min(length, 1 << _WIDTHS[-1])
        which = next(i for i, width in enumerate(_WIDTHS) if block <= 1 << width)
        yield from ((1, 1), (which, 2), (block - 1, _WIDTHS[which]), (value, 8))
        length -= block


LABEL_STUDIO = FormatSpec("labelstudio", "pre-annotations for Label Studio: tasks.json with brush masks", write)
