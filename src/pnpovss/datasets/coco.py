"""COCO val2017 with four sets of classes: objects, objects and surroundings, those in groups, and panoptic's."""

from collections.abc import Sequence
from pathlib import Path

from pnpovss.config import Background
from pnpovss.datasets.base import BACKGROUND_CLASS, Counting, LabelSpace, Sample
from pnpovss.datasets.benchmark import Benchmark, find_folder, from_folders, value_ranges
from pnpovss.datasets.names import bundled_names

__all__ = ["COCO_OBJECT", "COCO_PANOPTIC", "COCO_STUFF", "COCO_STUFF_27", "is_of_val2017"]

UNLABELED = 255  # in masks of mmsegmentation's train ids
UNLABELED_NAME = "unlabeled"
FEW = Background(policy="fewer_than", count=3)
STUFF = value_ranges("80-170")

# The train ids of COCO-Stuff's 27 groups, in the order of names/coco_stuff27.txt; its label hierarchy.
GROUPS = (
    "62-67",  # electronic
    "68-72",  # appliance
    "46-55",  # food (things)
    "56-61",  # furniture (things)
    "73-79",  # indoor
    "39-45",  # kitchen
    "24-28",  # accessory
    "14-23",  # animal
    "9-13",  # outdoor
    "0",  # person
    "29-38",  # sports
    "1-8",  # vehicle
    "90-91",  # ceiling
    "89 102-106",  # floor
    "109-110 141 158",  # food (stuff)
    "86 95-96 98 100 111 118 121 144 149 153",  # furniture (stuff)
    "88 120 127 131",  # raw material
    "80-81 92-93 97 119 125 129 140 155-156",  # textile
    "159-165",  # wall
    "168-169",  # window
    "83-84 116 139 146 154",  # building
    "99 113-114 124 128 132-133 135 137 142 147",  # ground
    "82 85 107 112 117 122 130 151 157",  # plant
    "94 145",  # sky
    "115 123 138 148 150 170",  # solid
    "87 101 126 134 152",  # structural
    "108 136 143 166-167",  # water
)

# COCO's panoptic category ids: 80 objects, then 53 surroundings with some of COCO-Stuff's merged.
PANOPTIC = value_ranges(
    "1-11 13-25 27-28 31-44 46-65 67 70 72-82 84-90 92-93 95 100 107 109 112 118-119 122 125 128 130 133 138 141 "
    "144-145 147-149 151 154-156 159 161 166 168 171 175-178 180-181 184-200"
)


def _object_space(protocol: Counting) -> LabelSpace:
    """Objects alone; all else is background, unlabeled pixels too, as in GroupViT's conversion that the field uses."""
    return LabelSpace(
        key="coco-object",
        names=bundled_names("coco_object"),
        ids=tuple(range(80)),
        background_id=UNLABELED,
        ignored=frozenset(),
        merged=tuple((value, UNLABELED) for value in STUFF),
        background=Background(policy="always"),
        protocol=protocol,
    )


def _stuff_space(
    key: str, names: str, groups: Sequence[Sequence[int]], unlabeled: int, protocol: Counting
) -> LabelSpace:
    """Objects and surroundings; the authors count unlabeled pixels as one more class."""
    authors = protocol == "authors"
    return LabelSpace(
        key=key,
        names=bundled_names(names),
        ids=tuple(group[0] for group in groups),
        background_id=unlabeled if authors else None,
        background_name=UNLABELED_NAME if authors else BACKGROUND_CLASS,
        ignored=frozenset() if authors else frozenset({unlabeled}),
        merged=tuple((value, group[0]) for group in groups for value in group[1:]),
        background=FEW,
        protocol=protocol,
    )


def _stuff_samples(root: Path) -> Sequence[Sample]:
    needed = ["images/val2017", "annotations/val2017"]
    folder = find_folder(root, ["coco_stuff164k"], needed)
    return from_folders(folder / needed[0], folder / needed[1], [".jpg"], "_labelTrainIds.png")


def _panoptic_samples(root: Path) -> Sequence[Sample]:
    folder = find_folder(root, ["coco-panoptic"], ["images", "annotations"])
    return from_folders(folder / "images", folder / "annotations", [".jpg"], ".png")


def is_of_val2017(photo: Path) -> bool:
    """By its folder; val2017 was drawn from val2014, whose photos carry that in their names."""
    return "val2017" in photo.parts or "val2014" in photo.parts or photo.name.startswith("COCO_val2014_")


_SOURCE = (
    "http://images.cocodataset.org/zips/val2017.zip to images/, and http://calvin.inf.ed.ac.uk/wp-content/uploads/data/"
    "cocostuffdataset/stuffthingmaps_trainval2017.zip to annotations/, then mmsegmentation's "
    "tools/dataset_converters/coco_stuff164k.py, which writes *_labelTrainIds.png"
)
_SINGLES = tuple((value,) for value in range(171))

COCO_OBJECT = Benchmark(
    key="coco-object",
    summary="COCO val2017: 80 objects and the background, from COCO-Stuff's masks",
    space=_object_space,
    samples=_stuff_samples,
    full=5000,
    source=_SOURCE,
    evaluates=is_of_val2017,
)

COCO_STUFF = Benchmark(
    key="coco-stuff",
    summary="COCO-Stuff 164k val2017: 171 objects and surroundings",
    space=lambda protocol: _stuff_space("coco-stuff", "coco_stuff", _SINGLES, UNLABELED, protocol),
    samples=_stuff_samples,
    full=5000,
    source=_SOURCE,
    evaluates=is_of_val2017,
)

COCO_STUFF_27 = Benchmark(
    key="coco-stuff27",
    summary="COCO-Stuff 164k val2017: its 27 groups of classes",
    space=lambda protocol: _stuff_space(
        "coco-stuff27", "coco_stuff27", [value_ranges(group) for group in GROUPS], UNLABELED, protocol
    ),
    samples=_stuff_samples,
    full=5000,
    source=_SOURCE,
    evaluates=is_of_val2017,
)

COCO_PANOPTIC = Benchmark(
    key="coco-panoptic",
    summary="COCO val2017: the 133 panoptic classes, as semantic masks of category ids (0 unlabeled)",
    space=lambda protocol: _stuff_space("coco-panoptic", "coco_panoptic", [(v,) for v in PANOPTIC], 0, protocol),
    samples=_panoptic_samples,
    full=5000,
    source=(
        "http://images.cocodataset.org/zips/val2017.zip to images/, and masks whose values are the category ids of "
        "http://images.cocodataset.org/annotations/panoptic_annotations_trainval2017.zip to annotations/"
    ),
    evaluates=is_of_val2017,
)
