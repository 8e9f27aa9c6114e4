"""What a run is: everything that its scores depend on, and which photos of the data set it takes."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from random import Random

from pydantic import BaseModel, ConfigDict

from pnpovss._version import __version__
from pnpovss.config import Settings
from pnpovss.datasets.base import Counting, Dataset, Exif, Sample
from pnpovss.datasets.content import masks_digest, photos_digest
from pnpovss.errors import DatasetError, InvalidInputError
from pnpovss.segmenter import Segmenter

__all__ = ["FORMAT", "Data", "RunSettings", "Subset", "choose", "describe"]

FORMAT = 4  # of the files in a run's folder


class Subset(BaseModel):
    """Which photos of a data set were used; `limit` None means all that are on the disk.

    Attributes:
        limit: how many were drawn.
        seed: of the draw.
        images: how many were used.
        on_disk: how many the folder holds.
        full: how many the whole benchmark has; None where that is not known.
        digest: of the keys, in order.
    """

    model_config = ConfigDict(frozen=True)
    limit: int | None
    seed: int
    images: int
    on_disk: int
    full: int | None
    digest: str

    @property
    def partial(self) -> bool:
        """Whether this is less than the benchmark, or less than the folder."""
        return self.images < max(self.on_disk, self.full or 0)

    def __str__(self) -> str:
        whole = max(self.on_disk, self.full or 0)
        return f"subset of {self.images} of {whole}" if self.partial else f"all {self.images}"


class Data(BaseModel):
    """What was measured, and against what: a data set of the same name and the same keys may hold something else.

    Attributes:
        names: the words of each name, synonyms included; all of them are written into prompts.
        ids: the mask value of each.
        background_id: the mask value of the background; None where none is labelled so.
        ignored: mask values that are left out of the score, ascending.
        merged: mask values with those that they count as.
        masks: digest of the masks, see `datasets.content`.
        photos: digest of the photos.
    """

    model_config = ConfigDict(frozen=True)
    names: tuple[tuple[str, ...], ...]
    ids: tuple[int, ...]
    background_id: int | None
    ignored: tuple[int, ...]
    merged: tuple[tuple[int, int], ...]
    masks: str
    photos: str

    @classmethod
    def of(cls, dataset: Dataset, samples: Sequence[Sample]) -> "Data":
        """Of some photos of a data set, whose files are read for it.

        Raises:
            DatasetError: a photo or mask that is missing or cannot be read, by name.
        """
        space = dataset.space
        return cls(
            names=tuple(name.all for name in space.names),
            ids=space.ids,
            background_id=space.background_id,
            ignored=tuple(sorted(space.ignored)),
            merged=space.merged,
            masks=masks_digest(dataset, samples),
            photos=photos_digest(samples),
        )


class RunSettings(BaseModel):
    """Everything that the scores depend on, the version of this package included; a resumed run must have the same."""

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    version: str = __version__
    kind: str
    dataset: str
    protocol: Counting
    exif: Exif | None
    classes: tuple[str, ...]
    background_class: int | None
    subset: Subset
    data: Data
    presence: str
    model: str
    revision: str | None
    preset: str
    config: Settings
    settings_source: str
    dtype: str
    variants: dict[str, Settings] | None = None


def choose(dataset: Dataset, limit: int | None, seed: int) -> tuple[tuple[Sample, ...], Subset]:
    """All samples, or `limit` of them drawn by `seed`, in the data set's order.

    Raises:
        InvalidInputError: a limit below 1.
        DatasetError: no photos at all.
    """
    if limit is not None and limit < 1:
        raise InvalidInputError(f"a limit of {limit} leaves no photo; give 1 or more, or none at all")
    everything = tuple(dataset)
    if not everything:
        raise DatasetError(f"{dataset.root} holds no photo of {dataset.space.key}")
    chosen = everything
    if limit is not None and limit < len(everything):
        chosen = tuple(everything[i] for i in sorted(Random(seed).sample(range(len(everything)), limit)))
    digest = blake2b("\n".join(sample.key for sample in chosen).encode(), digest_size=8).hexdigest()
    drawn = limit if len(chosen) < len(everything) else None
    return chosen, Subset(
        limit=drawn, seed=seed, images=len(chosen), on_disk=len(everything), full=dataset.full, digest=digest
    )


def describe(
    kind: str,
    segmenter: Segmenter,
    dataset: Dataset,
    samples: Sequence[Sample],
    subset: Subset,
    presence: str,
    variants: Mapping[str, Settings] | None = None,
) -> RunSettings:
    """The settings of a run about to start on these samples.

    Raises:
        DatasetError: see `Data.of`.
    """
    space, backbone = dataset.space, segmenter.backbone
    return RunSettings(
        kind=kind,
        dataset=space.key,
        protocol=space.protocol,
        exif=dataset.exif,
        classes=space.classes,
        background_class=0 if space.counts_background else None,
        subset=subset,
        data=Data.of(dataset, samples),
        presence=presence,
        model=backbone.card.name,
        revision=backbone.card.revision,
        preset=segmenter.preset,
        config=segmenter.config,
        settings_source=segmenter.settings_source,
        dtype=str(backbone.card.dtype).removeprefix("torch."),
        variants=None if variants is None else dict(variants),
    )
