"""What a run keeps of each photo, by kind of run; a journal's lines are held against it before they are believed."""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, model_validator

from pnpovss.evaluation.runs.settings import RunSettings
from pnpovss.files.journal import Record

__all__ = ["EvaluationRecord", "HeadsRecord", "InstancesRecord", "PhotoRecord", "VariantsRecord", "checker"]

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


class _Row(BaseModel):
    """A thing: its class, and its mask as run lengths."""

    model_config = ConfigDict(extra="forbid", strict=True)
    row: NonNegativeInt
    size: Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)]
    counts: str
    crowd: bool


class _Neighbours(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    count: NonNegativeInt
    touches: bool
    overlap: Seconds
    share: Seconds


class _TrueRow(_Row):
    neighbours: _Neighbours | None = None


class _FoundRow(_Row):
    score: Annotated[float, Field(ge=0, le=1)]


Fates = list[Literal["apart", "cut up", "merged", "missed"]]


class _HeadRow(BaseModel):
    """The things of the truth by one head: their own peaks by map of heat, and what becomes of them in its pieces."""

    model_config = ConfigDict(extra="forbid", strict=True)
    peaks: dict[str, list[int]]
    fates: Fates


class InstancesRecord(PhotoRecord):
    """What a run over things keeps; every list about things has one value per thing of the truth that is no crowd.

    Attributes:
        confusion: counts of the photo's labels, cells that are not 0.
        truth: its things, crowds last.
        found: what was found, by way of telling apart.
        panoptic: by way: class, sum of IoU, matches, false, missed; of classes that have any.
        fates: by way, what became of each thing; see `measures.things`.
        peaks: by map of heat, how many peaks each thing has to itself; -1 where its name was not asked for.
        heads: of each "layer.head", the same of its maps, and the fates of things in the pieces that it alone gives.
    """

    confusion: list[Cell]
    truth: list[_TrueRow]
    found: dict[str, list[_FoundRow]]
    panoptic: dict[str, list[Annotated[list[NonNegativeFloat | NonNegativeInt], Field(min_length=5, max_length=5)]]]
    fates: dict[str, Fates]
    peaks: dict[str, list[int]]
    heads: dict[str, _HeadRow]

    def counts(self) -> Iterable[list[Cell]]:
        """Of all pixels."""
        return (self.confusion,)

    @property
    def ways(self) -> set[str]:
        """Those that all of its parts tell of."""
        return set(self.found) & set(self.panoptic) & set(self.fates)

    @model_validator(mode="after")
    def _one_value_per_thing(self) -> "InstancesRecord":
        things = sum(not each.crowd for each in self.truth)
        by_head = [values for head in self.heads.values() for values in (*head.peaks.values(), head.fates)]
        if any(len(each) != things for each in (*self.fates.values(), *self.peaks.values(), *by_head)):
            raise ValueError(f"it tells of other things than the {things} of its truth")
        if any(each.neighbours is None for each in self.truth if not each.crowd):
            raise ValueError("it does not tell what is around a thing")
        return self


def checker(settings: RunSettings) -> Callable[[Record], None]:
    """Raises ValueError for a record that a run of these settings cannot have written."""
    classes, first = len(settings.classes), 0 if settings.background_class is None else 1
    model = {
        "eval": EvaluationRecord,
        "sweep heads": HeadsRecord,
        "instances": InstancesRecord,
    }.get(settings.kind, VariantsRecord)

    def check(record: Record) -> None:
        found = model.model_validate(record)
        for truth, predicted, _ in (cell for cells in found.counts() for cell in cells):
            if truth >= classes or predicted > classes:  # one more column: pixels called none of the classes
                raise ValueError(f"class {max(truth, predicted)} is none of the {classes} classes of the run")
        if max([*found.asked, *found.present, -1]) >= classes - first:
            raise ValueError(f"a name is none of the {classes - first} names of the run")
        if isinstance(found, VariantsRecord) and settings.variants and list(found.variants) != list(settings.variants):
            raise ValueError("its variants are not those of the run")
        if isinstance(found, InstancesRecord) and settings.variants and found.ways != set(settings.variants):
            raise ValueError("its ways of telling apart are not those of the run")

    return check
