"""What a run keeps of each photo, by kind of run; a journal's lines are held against it before they are believed."""

from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeFloat, NonNegativeInt

from pnpovss.evaluation.runs.settings import RunSettings
from pnpovss.files.journal import Record

__all__ = ["EvaluationRecord", "HeadsRecord", "PhotoRecord", "VariantsRecord", "checker"]

Cell = Annotated[list[NonNegativeInt], Field(min_length=3, max_length=3)]  # true class, predicted class, pixels
Seconds = Annotated[NonNegativeFloat, FiniteFloat]
Picture = Annotated[str, Field(min_length=0, max_length=2_000_000)]  # base64


class PhotoRecord(BaseModel):
    """What every run keeps of a photo.

    Attributes:
        key: of the photo.
        asked: indices of the names that were asked for.
        present: indices of the names that the truth holds.
        presence_scores: of each name of the vocabulary.
        note: what the filter of names had to get around; None when nothing.
        seconds: wall clock, names and labels, without loading and counting.
        cpu_seconds: of all threads, in the same time.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    key: str
    asked: list[NonNegativeInt]
    present: list[NonNegativeInt]
    presence_scores: list[FiniteFloat]
    note: str | None
    seconds: Seconds
    cpu_seconds: Seconds

    def counts(self) -> Iterable[list[Cell]]:
        """All confusion counts in the record."""
        return ()


class EvaluationRecord(PhotoRecord):
    """What `evaluate` keeps: counts, and what explains them.

    Attributes:
        size: height and width [px].
        confusion: counts of the photo, cells that are not 0.
        trimap: the same near the edges of the truth alone.
        regions: rows of `measures.regions.Region`.
        edges: share of the photo's pixels that are edges, in [0, 1].
        photo: a small JPEG, base64.
        truth: a small class map, base64 of a PNG.
        predicted: the same of the prediction.
    """

    size: Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)]
    confusion: list[Cell]
    trimap: list[Cell]
    regions: list[Annotated[list[NonNegativeInt | NonNegativeFloat], Field(min_length=10, max_length=10)]]
    edges: Seconds
    photo: Picture
    truth: Picture
    predicted: Picture

    def counts(self) -> Iterable[list[Cell]]:
        """Of all pixels, and of those near edges."""
        return self.confusion, self.trimap


class VariantsRecord(PhotoRecord):
    """What a run of many settings keeps: the confusion counts of each variant."""

    variants: dict[str, list[Cell]]

    def counts(self) -> Iterable[list[Cell]]:
        """Of each variant."""
        return self.variants.values()


class HeadsRecord(VariantsRecord):
    """What a sweep over heads keeps: counts and statistics by "layer.head"; no statistics where no name was asked."""

    statistics: dict[str, dict[str, FiniteFloat]]


def checker(settings: RunSettings) -> Callable[[Record], None]:
    """Raises ValueError for a record that a run of these settings cannot have written."""
    classes, first = len(settings.classes), 0 if settings.background_class is None else 1
    model = {"eval": EvaluationRecord, "sweep heads": HeadsRecord}.get(settings.kind, VariantsRecord)

    def check(record: Record) -> None:
        found = model.model_validate(record)
        for truth, predicted, _ in (cell for cells in found.counts() for cell in cells):
            if truth >= classes or predicted > classes:  # one more column: pixels called none of the classes
                raise ValueError(f"class {max(truth, predicted)} is none of the {classes} classes of the run")
        if max([*found.asked, *found.present, -1]) >= classes - first:
            raise ValueError(f"a name is none of the {classes - first} names of the run")
        if isinstance(found, VariantsRecord) and settings.variants and list(found.variants) != list(settings.variants):
            raise ValueError("its variants are not those of the run")

    return check
