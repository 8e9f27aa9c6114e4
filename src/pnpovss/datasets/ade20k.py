"""ADE20K, in the layout of the scene parsing challenge of 2016."""

from collections.abc import Sequence
from pathlib import Path

from pnpovss.config import Background
from pnpovss.datasets.base import BACKGROUND_CLASS, Counting, LabelSpace, Sample
from pnpovss.datasets.benchmark import Benchmark, find_folder, from_folders
from pnpovss.datasets.names import bundled_names

__all__ = ["ADE20K"]

OTHER = 0  # what is none of the 150 classes


def _space(protocol: Counting) -> LabelSpace:
    authors = protocol == "authors"  # they count "other" as one more class
    return LabelSpace(
        key="ade20k",
        names=bundled_names("ade20k"),
        ids=tuple(range(1, 151)),
        background_id=OTHER if authors else None,
        background_name="other" if authors else BACKGROUND_CLASS,
        ignored=frozenset() if authors else frozenset({OTHER}),
        background=Background(policy="fewer_than", count=3),
        protocol=protocol,
    )


def _samples(root: Path) -> Sequence[Sample]:
    needed = ["images/validation", "annotations/validation"]
    folder = find_folder(root, ["ADEChallengeData2016", "ade/ADEChallengeData2016"], needed)
    return from_folders(folder / needed[0], folder / needed[1], [".jpg"], ".png")


ADE20K = Benchmark(
    key="ade20k",
    summary="ADE20K val (scene parsing challenge 2016): 150 objects and surroundings",
    space=_space,
    samples=_samples,
    full=2000,
    source="http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
    evaluates=lambda photo: photo.name.startswith("ADE_val_"),
)
