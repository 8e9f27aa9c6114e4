"""Analysis where masks are given as well: does a reward order heads as the mIoU does, and what does its choice lose?

Nothing here chooses anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from jaxtyping import Float

from pnpovss.datasets.base import Dataset, Sample
from pnpovss.errors import ConfigError
from pnpovss.evaluation.measures.bootstrap import ImageCounts
from pnpovss.evaluation.measures.confusion import Confusion
from pnpovss.evaluation.measures.ranks import rank_correlation
from pnpovss.evaluation.runs.settings import Data
from pnpovss.files.journal import Journal, read_journal
from pnpovss.images import load_image
from pnpovss.refine.pipeline import refine
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.cells import Cell
from pnpovss.tuning.collect import Collected
from pnpovss.tuning.photos import OnPhoto, TuningPhotos

__all__ = ["AgainstMasks", "Agreement", "agreement", "cell_counts", "refuse_other_photos"]


@dataclass(frozen=True)
class Agreement:
    """How a reward or measure does against the truth.

    Attributes:
        name: of it.
        correlation: Spearman's, of its means with the mIoU over all cells (of measures: over heads); NaN where all have
            the same mIoU.
        pick: the cell that it chooses.
        miou: of that cell, in [0, 1].
        lost: the best cell's mIoU less that.
    """

    name: str
    correlation: float
    pick: str
    miou: float
    lost: float


@dataclass(frozen=True)
class AgainstMasks:
    """All that could be said of rewards and measures by the masks.

    Attributes:
        rows: of each that has two cells or more to order.
        left_out: what has not, and why, in sentences.
    """

    rows: tuple[Agreement, ...]
    left_out: tuple[str, ...]


def refuse_other_photos(photos: TuningPhotos, dataset: Dataset) -> None:
    """Before hours are spent on them: the masks of a data set say something of its own photos and names only.

    Raises:
        ConfigError: a photo, or a name of one, that the data set does not have.
    """
    keys, names, key = {sample.key for sample in dataset}, set(dataset.space.names), dataset.space.key
    for photo in photos.photos:
        if photo.key not in keys:
            raise ConfigError(
                f"truth: {key} has no photo {photo.key!r}; give the photos of that data set under its keys, as "
                "`pnpovss tune --dataset` does, or no truth"
            )
        if unknown := [name for name in photo.names if name not in names]:
            raise ConfigError(f"truth: {key} has no masks of {unknown[0].text!r}, which {photo.key!r} is said to show")


def cell_counts(
    segmenter: Segmenter,
    collected: Collected,
    photos: TuningPhotos,
    cells: Sequence[Cell],
    dataset: Dataset,
    on_photo: OnPhoto | None = None,
) -> list[ImageCounts]:
    """What the mIoU of each cell needs, from the collected maps, without views, Salience Dropout and Dense CRF.

    It is kept in the folder for these masks: where they change, it is measured anew.

    Args:
        segmenter: tells threshold policy, background and blur.
        collected: the maps.
        photos: those that were collected, of the data set.
        cells: whose regions are measured.
        dataset: the masks.
        on_photo: told after each photo.
    """
    config = segmenter.config.without("crf").replace({"background": dataset.space.background.model_dump()})
    samples = {sample.key: sample for sample in dataset}
    classes = len(dataset.space.classes)
    place = {name: i for i, name in enumerate(dataset.space.names)}
    said = _digest(dataset, [samples[photo.key] for photo in photos.photos])
    path = collected.folder / f"truth-{said}.jsonl"
    records = read_journal(path, keys=collected.keys)
    if len(records) < len(collected.keys):
        with Journal(path, keys=collected.keys) as journal:
            for i, photo in enumerate(photos.photos):
                if photo.key not in journal.records:
                    image, heat = np.asarray(load_image(photo.image)), collected.heat(i)
                    truth, asked = dataset.truth(samples[photo.key]), [place[name] for name in photo.names]
                    found = []
                    for cell in cells:
                        maps = heat[[collected.heads.index(head) for head in cell.heads]].mean(0)
                        labels = refine(maps, image, config.replace({"threshold": cell.threshold})).labels
                        found.append(Confusion.of(truth, dataset.space.predicted(labels, asked), classes).sparse)
                    journal.append({"key": photo.key, "cells": found})
                if on_photo:
                    on_photo("measured", i + 1, len(collected.keys))
            records = journal.records
    return [
        ImageCounts.of(Confusion.from_sparse(records[key]["cells"][i], classes) for key in collected.keys)
        for i in range(len(cells))
    ]


def _digest(dataset: Dataset, samples: Sequence[Sample]) -> str:
    """Of photos and masks, and of how masks are read and counted."""
    space = dataset.space
    said = (space.classes, space.background, space.protocol, dataset.exif, Data.of(dataset, samples))
    return blake2b(repr(said).encode(), digest_size=8).hexdigest()


def agreement(
    name: str, values: Float[np.ndarray, "photo cell"], miou: Sequence[float], cells: Sequence[Cell]
) -> Agreement:
    """How the means of a reward order cells, of which there is at least one, beside their mIoU."""
    means = values.mean(0)
    pick = int(means.argmax())
    return Agreement(
        name, rank_correlation(means.tolist(), list(miou)), str(cells[pick]), miou[pick], max(miou) - miou[pick]
    )
