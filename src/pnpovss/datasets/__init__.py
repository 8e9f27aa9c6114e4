"""Benchmarks: photos with masks, and what their mask values mean."""

from pnpovss.datasets.base import BACKGROUND_CLASS, IGNORE, NOTHING, Counting, Dataset, Exif, LabelSpace, Sample, Thing
from pnpovss.datasets.catalog import known_datasets, open_dataset

__all__ = [
    "BACKGROUND_CLASS",
    "IGNORE",
    "NOTHING",
    "Counting",
    "Dataset",
    "Exif",
    "LabelSpace",
    "Sample",
    "Thing",
    "known_datasets",
    "open_dataset",
]
