"""COCO val2017's objects, each apart: the format of COCO panoptic, whose pictures hold the number of a segment.

A segment's number is red + 256 green + 65,536 blue; panoptic_val2017.json tells the category of each, and whether it is
a crowd. Pixels of no segment (number 0) and crowds are left out of the score; surroundings are background.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from PIL import Image

from pnpovss.config import Background
from pnpovss.datasets.base import Counting, Dataset, LabelSpace, Sample, Thing
from pnpovss.datasets.benchmark import Benchmark, find_folder, from_folders, value_ranges
from pnpovss.datasets.coco import is_of_val2017
from pnpovss.datasets.masks import laid_upright
from pnpovss.datasets.names import bundled_names
from pnpovss.errors import DatasetError, InvalidInputError
from pnpovss.files.json import from_json, to_json

__all__ = ["COCO_THINGS", "CocoThings"]

THINGS = value_ranges("1-11 13-25 27-28 31-44 46-65 67 70 72-82 84-90")  # category ids
BACKGROUND, LEFT_OUT = 0, 255
_SPLIT = "panoptic_val2017"
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def _space(protocol: Counting) -> LabelSpace:
    return LabelSpace(
        key="coco-things",
        names=bundled_names("coco_object"),
        ids=tuple(THINGS),
        background_id=BACKGROUND,
        ignored=frozenset({LEFT_OUT}),
        background=Background(policy="always"),
        protocol=protocol,
    )


def _samples(root: Path) -> Sequence[Sample]:
    masks = f"annotations/{_SPLIT}"
    folder = find_folder(root, ["coco", "coco-panoptic"], [masks, f"{masks}.json"])
    images = next((folder / place for place in ("val2017", "images/val2017") if (folder / place).is_dir()), None)
    if images is None:
        raise DatasetError(f"{folder / 'val2017'} is missing")
    return from_folders(images, folder / masks, [".jpg"], ".png")


class CocoThings(Dataset):
    """Photos whose masks tell each thing apart."""

    def values(self, sample: Sample) -> Integer[np.ndarray, "h w"]:
        """The category of each pixel; 0 in surroundings, 255 in crowds and where nothing is marked."""
        numbers = self._numbers(sample)
        values = np.full(numbers.shape, LEFT_OUT, np.uint8)
        for segment in self._segments_of(sample):
            thing = segment["category_id"] in THINGS
            if not (thing and segment["iscrowd"]):
                values[numbers == segment["id"]] = segment["category_id"] if thing else BACKGROUND
        return values

    def things(self, sample: Sample) -> list[Thing]:
        """Each thing by itself, crowds included and marked."""
        numbers = self._numbers(sample)
        found = []
        for segment in self._segments_of(sample):
            mask = numbers == segment["id"]
            if segment["category_id"] in THINGS and mask.any():
                row = self.space.first + THINGS.index(segment["category_id"])
                found.append(Thing(row, mask, bool(segment["iscrowd"])))
        return found

    def told(self, sample: Sample) -> bytes:
        """The picture of segments, and what the JSON says of them."""
        return super().told(sample) + to_json(self._segments_of(sample))

    def _segments_of(self, sample: Sample) -> list[dict[str, Any]]:
        try:
            return self._segments[sample.mask.name]
        except KeyError as error:
            raise DatasetError(f"{_SPLIT}.json says nothing of {sample.mask.name}; get a complete copy") from error

    @cached_property
    def _segments(self) -> dict[str, list[dict[str, Any]]]:
        """What the JSON says of each mask, by file name."""
        path = self.samples[0].mask.parent.with_suffix(".json")
        try:
            return {each["file_name"]: each["segments_info"] for each in from_json(path.read_bytes())["annotations"]}
        except (OSError, KeyError, TypeError, InvalidInputError) as error:
            raise DatasetError(f"{path} is no list of COCO panoptic segments ({error}); get a complete copy") from error

    def _numbers(self, sample: Sample) -> Integer[np.ndarray, "h w"]:
        """The segment's number at each pixel of the upright photo."""
        try:
            with Image.open(sample.mask) as picture:
                channels = picture.convert("RGB")
        except _DAMAGE as error:
            raise DatasetError(f"{sample.mask} cannot be read ({error}); get a complete copy") from error
        upright = laid_upright(channels, sample.mask, sample.image, self.exif)
        return np.asarray(upright, np.int64) @ np.array([1, 256, 65536])


COCO_THINGS = Benchmark(
    key="coco-things",
    summary="COCO val2017: 80 objects, each apart, from the panoptic annotations",
    space=_space,
    samples=_samples,
    full=5000,
    source=(
        "http://images.cocodataset.org/zips/val2017.zip to val2017/, and annotations/panoptic_val2017.json and "
        "annotations/panoptic_val2017/ of http://images.cocodataset.org/annotations/panoptic_annotations_trainval2017.zip"
    ),
    evaluates=is_of_val2017,
    dataset=CocoThings,
)
