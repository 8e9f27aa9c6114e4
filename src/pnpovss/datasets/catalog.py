"""Every benchmark by its key."""

from pathlib import Path
from typing import get_args

from pnpovss.datasets.ade20k import ADE20K
from pnpovss.datasets.base import Counting, Dataset, Exif
from pnpovss.datasets.coco import COCO_OBJECT, COCO_PANOPTIC, COCO_STUFF, COCO_STUFF_27
from pnpovss.datasets.coco_things import COCO_THINGS
from pnpovss.datasets.folder import SUMMARY, open_folder
from pnpovss.datasets.voc import CONTEXT_59, CONTEXT_60, VOC2012
from pnpovss.errors import DatasetError

__all__ = ["BENCHMARKS", "evaluated_by", "known_datasets", "open_dataset"]

BENCHMARKS = {
    benchmark.key: benchmark
    for benchmark in (
        VOC2012,
        CONTEXT_60,
        CONTEXT_59,
        COCO_OBJECT,
        COCO_STUFF,
        COCO_STUFF_27,
        COCO_PANOPTIC,
        COCO_THINGS,
        ADE20K,
    )
}
FOLDER = "folder"


def known_datasets() -> dict[str, str]:
    """One line about each data set that `open_dataset` reads, by key."""
    return {**{key: benchmark.summary for key, benchmark in BENCHMARKS.items()}, FOLDER: SUMMARY}


def evaluated_by(photo: Path) -> tuple[str, ...]:
    """The benchmarks that evaluate a photo, as far as its name and folders tell: no setting may be chosen on it."""
    return tuple(key for key, benchmark in BENCHMARKS.items() if benchmark.evaluates(photo))


def open_dataset(key: str, root: str | Path, *, protocol: Counting = "field", exif: Exif | None = None) -> Dataset:
    """Find the photos and masks of a benchmark in a folder.

    Args:
        key: one of `known_datasets()`.
        root: the folder that holds it, in the layout that mmsegmentation documents, or one above that.
        protocol: "field", as most papers count, or "authors", as the released code of PnP-OVSS counts.
        exif: how the masks of photos that EXIF turns lie, "upright" or "stored"; None where the sizes tell.

    Raises:
        DatasetError: an unknown key, protocol or exif; or files are missing: the first one's name, and where to get it.
    """
    if protocol not in get_args(Counting):
        raise DatasetError(f"unknown protocol {protocol!r}; known: {', '.join(get_args(Counting))}")
    if exif not in (None, *get_args(Exif)):
        raise DatasetError(f"unknown exif {exif!r}; known: {', '.join(get_args(Exif))}")
    if key == FOLDER:
        return open_folder(Path(root), protocol, exif)
    if key not in BENCHMARKS:
        raise DatasetError(f"unknown data set {key!r}; known: {', '.join(known_datasets())}")
    benchmark = BENCHMARKS[key]
    try:
        samples = benchmark.samples(Path(root))
    except DatasetError as error:
        raise DatasetError(f"{key}: {error}. Get it from {benchmark.source}") from error
    return benchmark.dataset(benchmark.space(protocol), Path(root), samples, full=benchmark.full, exif=exif)
