"""Benchmarks: photos with masks, and what their mask values mean."""

from pnpovss.datasets.base import BACKGROUND_CLASS, IGNORE, NOTHING, Dataset, LabelSpace, Protocol, Sample

__all__ = ["BACKGROUND_CLASS", "IGNORE", "NOTHING", "Dataset", "LabelSpace", "Protocol", "Sample"]
