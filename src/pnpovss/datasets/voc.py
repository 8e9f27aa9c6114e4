"""Pascal VOC 2012 and Pascal Context, in the folder layout of VOC's development kit."""

from collections.abc import Sequence
from pathlib import Path

from pnpovss.config import Background
from pnpovss.datasets.base import Counting, LabelSpace, Sample
from pnpovss.datasets.benchmark import Benchmark, find_folder, from_list
from pnpovss.datasets.names import bundled_names, bundled_photos
from pnpovss.errors import DatasetError

__all__ = ["CONTEXT_59", "CONTEXT_60", "VOC2012"]

VOID = 255  # the border around objects, and what was too hard to label


def _voc_space(protocol: Counting) -> LabelSpace:
    authors = protocol == "authors"  # they count void pixels as background
    return LabelSpace(
        key="voc2012",
        names=bundled_names("voc2012"),
        ids=tuple(range(1, 21)),
        background_id=0,
        ignored=frozenset() if authors else frozenset({VOID}),
        merged=((VOID, 0),) if authors else (),
        background=Background(policy="always"),
        protocol=protocol,
    )


def _voc_samples(root: Path) -> Sequence[Sample]:
    listing = "ImageSets/Segmentation/val.txt"
    folder = find_folder(root, ["VOC2012", "VOCdevkit/VOC2012"], [listing, "JPEGImages"])
    # mmsegmentation's converter for the extra training masks leaves the official ones in SegmentationClassAug, too.
    masks = next(
        (folder / name for name in ("SegmentationClass", "SegmentationClassAug") if (folder / name).is_dir()), None
    )
    if masks is None:
        raise DatasetError(f"{folder / 'SegmentationClass'} is missing")
    return from_list(folder / listing, folder / "JPEGImages", masks)


def _context_space(key: str, protocol: Counting) -> LabelSpace:
    with_background = key == "context60"
    return LabelSpace(
        key=key,
        names=bundled_names("context"),
        ids=tuple(range(1, 60)),
        background_id=0 if with_background else None,
        ignored=frozenset({VOID}) if with_background else frozenset({0, VOID}),
        background=Background(policy="fewer_than", count=3),
        protocol=protocol,
    )


def _context_samples(root: Path) -> Sequence[Sample]:
    listing = "ImageSets/SegmentationContext/val.txt"
    needed = [listing, "JPEGImages", "SegmentationClassContext"]
    folder = find_folder(root, ["VOC2010", "VOCdevkit/VOC2010"], needed)
    return from_list(folder / listing, folder / "JPEGImages", folder / "SegmentationClassContext")


def _voc_evaluates(photo: Path) -> bool:
    """By its name; VOC 2007's photo 000033 is 2007_000033 of VOC 2012."""
    known = bundled_photos("voc2012")
    return photo.stem in known or ("VOC2007" in photo.parts and f"2007_{photo.stem}" in known)


def _context_evaluates(photo: Path) -> bool:
    """By the list that comes with the photos, which all lie in one folder."""
    listing = photo.parent.parent / "ImageSets/SegmentationContext/val.txt"
    return photo.parent.name == "JPEGImages" and listing.is_file() and photo.stem in listing.read_text().split()


VOC2012 = Benchmark(
    key="voc2012",
    summary="Pascal VOC 2012 val: 20 objects and the background",
    space=_voc_space,
    samples=_voc_samples,
    full=1449,
    source="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    evaluates=_voc_evaluates,
)

_CONTEXT_SOURCE = (
    "photos: http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar; masks: trainval_merged.json, "
    "converted with mmsegmentation's tools/dataset_converters/pascal_context.py"
)

CONTEXT_60 = Benchmark(
    key="context60",
    summary="Pascal Context val: 59 objects and surfaces, and the background",
    space=lambda protocol: _context_space("context60", protocol),
    samples=_context_samples,
    full=5104,
    source=_CONTEXT_SOURCE,
    evaluates=_context_evaluates,
)

CONTEXT_59 = Benchmark(
    key="context59",
    summary="Pascal Context val: 59 objects and surfaces, the background left out of the score",
    space=lambda protocol: _context_space("context59", protocol),
    samples=_context_samples,
    full=5104,
    source=_CONTEXT_SOURCE,
    evaluates=_context_evaluates,
)
