"""The photos to tune on, from wherever their names come, with those kept out that results are reported on."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pnpovss.datasets.base import Dataset
from pnpovss.datasets.catalog import BENCHMARKS
from pnpovss.errors import InvalidInputError
from pnpovss.names import Name
from pnpovss.presence.base import PresenceFilter
from pnpovss.tuning.guard import refuse_evaluation_photos, refuse_likenesses
from pnpovss.tuning.labels import class_folders, from_dataset, from_filter, from_labels
from pnpovss.tuning.photos import OnPhoto, TuningPhoto, TuningPhotos

__all__ = ["gather"]


def gather(
    folder: Path,
    *,
    dataset: Dataset | None = None,
    labels: Path | None = None,
    vocabulary: Sequence[Name] = (),
    presence: PresenceFilter | None = None,
    evaluation_photos: Iterable[str] = (),
    keep_out: Iterable[Path] = (),
    limit: int | None = None,
    seed: int = 0,
    on_photo: OnPhoto | None = None,
) -> TuningPhotos:
    """Photos with names: from a data set, a table, a filter, or folders that are called what their photos show.

    Args:
        folder: of photos; of a data set, its root.
        dataset: names come from its masks.
        labels: names or captions come from this table.
        vocabulary: names to look for, and to tell from one another; of a data set, beside its own.
        presence: decides which of them are in a photo; needed where neither a data set nor a table tells.
        evaluation_photos: benchmarks whose evaluation photos may be used; the result says so.
        keep_out: folders of photos that results are reported on: likenesses of them are refused.
        limit: of so many photos, drawn by `seed`.
        seed: of the draw.
        on_photo: told what is done.

    Raises:
        InvalidInputError: no photo with a name, evaluation photos that were not named, or sources that do not fit.
        NamesError: a name that is none.
    """
    allowed = set(evaluation_photos)
    if dataset is not None and dataset.space.key in BENCHMARKS and dataset.space.key not in allowed:
        raise InvalidInputError(
            f"these are the photos that {dataset.space.key} evaluates: settings chosen on them make a number reported "
            f"on it worthless. Allow it by name (--evaluation-photos {dataset.space.key}); the result then says so"
        )
    photos, source, words = _named(folder, dataset, labels, vocabulary, presence, limit, seed, on_photo)
    if not photos:
        raise InvalidInputError(f"no photo in {folder} holds a name, as far as is known ({source})")
    everything = TuningPhotos.joined(photos, words, source).drawn(limit, seed)
    used = refuse_evaluation_photos(everything.photos, allowed)
    if dataset is not None and dataset.space.key in allowed:
        used = tuple(sorted({*used, dataset.space.key}))
    for other in keep_out:
        refuse_likenesses(everything.photos, other)
    return TuningPhotos(everything.photos, everything.vocabulary, source, used)


def _named(
    folder: Path,
    dataset: Dataset | None,
    labels: Path | None,
    vocabulary: Sequence[Name],
    presence: PresenceFilter | None,
    limit: int | None,
    seed: int,
    on_photo: OnPhoto | None,
) -> tuple[list[TuningPhoto], str, Sequence[Name]]:
    """Photos with names, who said so, and the names to tell apart."""
    if dataset is not None:
        if labels is not None:
            raise InvalidInputError("the names of a data set come from its masks; leave --labels out")
        return from_dataset(dataset), f"masks of {dataset.space.key}", (*dataset.space.names, *vocabulary)
    if labels is not None:
        return from_labels(folder, labels, vocabulary), f"the table {labels.name}", vocabulary
    if not vocabulary:
        return class_folders(folder), "the names of their folders", ()
    if presence is None:
        raise InvalidInputError(
            f"{len(vocabulary)} names to look for were given, and nothing that says which photos show them; give a "
            "table (labels), a data set or a filter (presence), or leave the names out where folders are called what "
            "their photos show"
        )
    photos = from_filter(folder, vocabulary, presence, limit, seed, on_photo)
    return photos, f"the filter {presence.key}", vocabulary
