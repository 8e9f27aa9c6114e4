"""Small data sets in the layouts of the real ones, written by the tests."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def photo(path: Path, size: tuple[int, int] = (6, 4)) -> Path:
    """A photo of (width, height) pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 30)).save(path)
    return path


def mask(path: Path, values: object, mode: str = "L") -> Path:
    """A mask with these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.array(values)
    image = Image.fromarray(array.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        image.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
    image.save(path)
    return path


def grid(*values: int) -> np.ndarray:
    """A mask of 4 x 6 pixels: the values, then the last of them again."""
    flat = np.full(24, values[-1])
    flat[: len(values)] = values
    return flat.reshape(4, 6)


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def voc(root: Path, keys: tuple[str, ...] = ("2007_000033", "2007_000042"), folder: str = "SegmentationClass") -> Path:
    base = root / "VOCdevkit/VOC2012"
    for i, key in enumerate(keys):
        photo(base / f"JPEGImages/{key}.jpg")
        mask(base / f"{folder}/{key}.png", grid(0, i + 1, 20, 255, 0), mode="P")
    photo(base / "JPEGImages/2012_000001.jpg")  # of another split
    text(base / "ImageSets/Segmentation/val.txt", *keys)
    return base


def context(root: Path) -> Path:
    base = root / "VOCdevkit/VOC2010"
    photo(base / "JPEGImages/2008_000002.jpg")
    mask(base / "SegmentationClassContext/2008_000002.png", grid(0, 59, 2, 255, 0))
    text(base / "ImageSets/SegmentationContext/val.txt", "2008_000002")
    return base


def coco_stuff(root: Path) -> Path:
    base = root / "coco_stuff164k"
    for key in ("000000000139", "000000000285"):
        photo(base / f"images/val2017/{key}.jpg")
        mask(base / f"annotations/val2017/{key}.png", grid(3))  # the masks before conversion lie beside
        mask(base / f"annotations/val2017/{key}_labelTrainIds.png", grid(0, 79, 80, 170, 84, 255))
    return base


def ade20k(root: Path) -> Path:
    base = root / "ADEChallengeData2016"
    photo(base / "images/validation/ADE_val_00000001.jpg")
    mask(base / "annotations/validation/ADE_val_00000001.png", grid(0, 1, 150, 13))
    return base


def panoptic(root: Path) -> Path:
    photo(root / "images/000000000139.jpg")
    mask(root / "annotations/000000000139.png", grid(0, 1, 90, 200))
    return root


def folder(root: Path, *lines: str) -> Path:
    text(root / "names.txt", *lines)
    photo(root / "images/a.png")
    photo(root / "images/b.JPG")
    mask(root / "masks/a.png", grid(0, 1, 255))
    mask(root / "masks/b.png", grid(2))
    return root


def things(root: Path) -> Path:
    """Two cats that touch (category 17), a crowd of cats, wall (175), nothing marked; the last photo holds no thing."""
    numbers = np.array([[300, 300, 70_000, 70_000, 5, 5], [300, 300, 70_000, 9, 9, 0]] + [[9] * 6] * 2)
    segments = [(300, 17, 0), (70_000, 17, 0), (5, 17, 1), (9, 175, 0)]
    annotations = []
    for key, own in (("000000000139", numbers), ("000000000285", np.full((4, 6), 9))):
        photo(root / f"val2017/{key}.jpg")
        channels = np.stack([own % 256, own // 256 % 256, own // 65536], axis=2).astype(np.uint8)
        path = root / f"annotations/panoptic_val2017/{key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(channels).save(path)
        told = [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in segments if (own == i).any()]
        annotations.append({"file_name": path.name, "segments_info": told})
    text(root / "annotations/panoptic_val2017.json", json.dumps({"annotations": annotations}))
    return root
