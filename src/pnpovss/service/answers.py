"""What is made of a result: JSON, one file, or several in a ZIP file."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pnpovss.backbones.base import Card
from pnpovss.batch.export.yolo import polygons
from pnpovss.batch.outputs import output_files
from pnpovss.files.json import to_json
from pnpovss.hints.doubts import doubts
from pnpovss.hints.looks_like import looks_like
from pnpovss.results.colours import colour
from pnpovss.results.pictures import heat_picture
from pnpovss.results.regions import inner_point
from pnpovss.results.segmentation import Segmentation
from pnpovss.service.pictures import gray_png, label_png, levels, number_png, photo_jpeg, png_bytes, shrunk
from pnpovss.service.work import go_on

__all__ = ["Answer", "Seen", "answer"]

SHOWN = 1280  # longer side of what the page draws [px]
WORD = 640  # longer side of the picture of a word, of which there may be hundreds [px]
JSON, PNG, ZIP, NPZ = "application/json", "image/png", "application/zip", "application/octet-stream"

# Kinds of files that the command line writes, too; a photo has several of the last.
_FILES = ("labels", "instances", "overlay", "npz", "heat")


@dataclass(frozen=True)
class Answer:
    """A body and its type; the name is for whoever saves it."""

    body: bytes
    media_type: str
    name: str | None = None


@dataclass(frozen=True)
class Seen:
    """A result, with what an answer needs beside it.

    Attributes:
        photo: its id.
        image: the photo.
        result: the segmentation.
        decided: what the record says of a filter's choice.
        card: of the model.
        shown_alike: whether the page may show its own copy of the photo; else the view holds one.
    """

    photo: str
    image: Image.Image
    result: Segmentation
    decided: dict[str, Any]
    card: Card
    shown_alike: bool = True


def answer(seen: Seen, outputs: Sequence[str]) -> Answer:
    """One output as it is, several in a ZIP file with the record."""
    kinds = tuple(dict.fromkeys(outputs))
    if len(kinds) == 1 and kinds[0] not in ("heat", "words"):
        [(name, content)] = _files(seen, kinds[0])
        types = {"labels": PNG, "instances": PNG, "overlay": PNG, "npz": NPZ}
        return Answer(content, types.get(kinds[0], JSON), None if kinds[0] not in types else name)
    files = dict(_files(seen, "rle")) | {name: content for kind in kinds for name, content in _files(seen, kind)}
    return Answer(_zip(files), ZIP, "photo.zip")


def _files(seen: Seen, kind: str) -> list[tuple[str, bytes]]:
    """(name, content) of the files of one kind."""
    go_on()
    if kind in _FILES:
        found = []
        for file in output_files([kind], seen.result.names, seen.result.kept):
            go_on()
            found.append((f"photo{file.suffix}", file.content(seen.result, seen.image)))
        return found
    if kind == "words":
        return _word_pictures(seen)
    if kind == "view":
        return [("photo.view.json", to_json(_view(seen)))]
    record = _record(seen)
    if kind == "polygons":
        for row in record["names"]:
            go_on()
            mask = seen.result.labels == row["label"]
            del row["segmentation"]
            row["polygons"] = [polygon.ravel().tolist() for polygon in polygons(mask)]
    return [("photo.json" if kind == "rle" else "photo.polygons.json", to_json(record))]


def _word_pictures(seen: Seen) -> list[tuple[str, bytes]]:
    """A picture per word, all on one scale; words that several prompts repeat are shown once.

    Their size is bounded, since all of them are in memory at once.
    """
    maps, (height, width) = seen.result.heatmaps, shrunk(seen.result.size, WORD)
    top, photo = float(maps.word_maps.max(initial=0)), seen.image.resize((width, height), reducing_gap=2)
    found = []
    for i, word in enumerate(dict.fromkeys(maps.words), start=1):
        go_on()
        heat = cv2.resize(maps.word_maps[maps.words.index(word)], (width, height), interpolation=cv2.INTER_LINEAR)
        found.append((f"photo.word-{i}.png", png_bytes(heat_picture(photo, heat, word, top))))
    return found


def _record(seen: Seen) -> dict[str, Any]:
    hints = [*doubts(seen.result, seen.card), *looks_like(seen.result)]
    return {"photo_id": seen.photo, **seen.result.to_dict(), **seen.decided, "hints": hints}


def _view(seen: Seen) -> dict[str, Any]:
    """The record without masks, and what the page draws of it."""
    record, result = _record(seen), seen.result
    for i, row in enumerate(record["names"]):
        del row["segmentation"]
        row["colour"] = "#{:02x}{:02x}{:02x}".format(*colour(i))
    size = shrunk(result.size, SHOWN)
    maps = result.heatmaps
    return {
        **record,
        **_things(result, size),
        "shown": list(size),
        "photo": None if seen.shown_alike else photo_jpeg(seen.image, size),
        "labels": label_png(result.labels, size),
        "sure": gray_png(_sureness(result), size),
        "grid": list(maps.names.shape[1:]),
        "name_maps": {str(kept): levels(each) for kept, each in zip(result.kept, maps.names, strict=True)},
        "words": [{"word": word, **levels(each)} for word, each in zip(maps.words, maps.word_maps, strict=True)],
    }


def _things(result: Segmentation, size: tuple[int, int]) -> dict[str, Any]:
    """Each thing without its mask, and the map of their numbers; None for both where they were not told apart."""
    if result.instances is None:
        return {"instances": None, "numbers": None}
    rows = [
        {
            "number": thing.number,
            "name": thing.index,
            "score": thing.score,
            "share": thing.area / result.labels.size,
            "bbox": list(thing.box),
            "place": list(inner_point(thing.mask)),
        }
        for thing in result.instances
    ]
    return {"instances": rows, "numbers": number_png(result.instances.map, size)}


def _sureness(result: Segmentation) -> np.ndarray:
    """Of each pixel, the probability of its label."""
    every = result.scores if result.background_score is None else [result.background_score, *result.scores]
    return np.max(every, axis=0) if len(every) else np.ones(result.size, np.float32)


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # pictures are packed already
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()
