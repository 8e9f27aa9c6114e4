"""The one way in which photos are run over: choose, open the folder, look, record, resume, tell, sum up.

A kind of run is a `Plan`: what is predicted for a photo, what is kept of it, and what is made of all records. The rest
is the same for an evaluation, an ablation and a sweep, and lives here.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from PIL import Image

from pnpovss.backbones.shared import share_encodings
from pnpovss.config import Settings
from pnpovss.datasets.base import Dataset, LabelSpace, Sample
from pnpovss.datasets.survey import check_masks
from pnpovss.errors import OutputError
from pnpovss.evaluation.measures.confusion import Confusion, Sparse
from pnpovss.evaluation.runs.folder import begin_session, make_folder, open_run, read_summary, write_summary
from pnpovss.evaluation.runs.session import session
from pnpovss.evaluation.runs.settings import choose, describe
from pnpovss.files.journal import Journal, Record
from pnpovss.files.writing import write_all
from pnpovss.images import load_image
from pnpovss.names import Name
from pnpovss.presence.base import AnswersReady, Photo, Presence, PresenceFilter, UnansweredError
from pnpovss.segmenter import Segmenter

__all__ = ["Case", "OnImage", "Plan", "Progress", "fit_to_space", "pace", "run"]

logger = logging.getLogger(__name__)

MOST_UNANSWERED = 10  # photos in a row about which a filter has no answer


@dataclass(frozen=True, eq=False)
class Case:
    """A photo to be measured.

    Attributes:
        sample: where it comes from.
        image: upright RGB.
        truth: class indices, IGNORE where a pixel is left out.
        presence: which names are asked for.
        names: those names.
    """

    sample: Sample
    image: Image.Image
    truth: Integer[np.ndarray, "h w"]
    presence: Presence
    names: tuple[Name, ...]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: finished photos, those of earlier sessions included.
        of: all photos.
        new: photos finished in this session.
        key: the one just finished.
        confusion: of all finished photos.
    """

    done: int
    of: int
    new: int
    key: str
    confusion: Confusion


OnImage = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Plan:
    """What a kind of run does.

    Attributes:
        kind: what it is called in its folder.
        segmenter: whose settings are recorded; from `fit_to_space`.
        predict: the part that takes time and is timed: something for each case, in order.
        record: what is kept of a case and its prediction, beside what all runs keep.
        score: the counts in a record that the running score is read from.
        summarise: the summary of all records, in the order of the photos.
        variants: settings by name, where there are several.
        batch_size: cases predicted at once.
        files: what is written of a case and its prediction, by path inside the folder, before its record.
        file_names: those paths, of a photo by its key: a finished photo without them is predicted again for them.
    """

    kind: str
    segmenter: Segmenter
    predict: Callable[[Sequence[Case]], Sequence[Any]]
    record: Callable[[Case, Any], Record]
    score: Callable[[Record], Sparse]
    summarise: Callable[[Sequence[Record]], dict[str, Any]]
    variants: Mapping[str, Settings] | None = None
    batch_size: int = 1
    files: Callable[[Case, Any], Mapping[str, bytes]] = field(default=lambda case, predicted: {})
    file_names: Callable[[str], Sequence[str]] = field(default=lambda key: ())


def run(
    plan: Plan,
    dataset: Dataset,
    presence: PresenceFilter,
    folder: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    on_image: OnImage | None = None,
) -> dict[str, Any]:
    """Run over a data set, or resume where a killed run stopped.

    Args:
        plan: what is done with each photo.
        dataset: photos and truths.
        presence: which names are asked for in each photo.
        folder: of the run; new, or one with the same settings and data.
        limit: use so many photos, drawn by `seed`; the result is then called a subset.
        seed: of the draw.
        on_image: told after each photo.

    Returns:
        What summary.json holds.

    Raises:
        ConfigError: the folder holds a run with other settings or of other data, or other things.
        DatasetError: a photo or mask that is missing or does not fit, by name; or masks that leave nothing to measure.
        PresenceError: the filter cannot be asked, has answers that do not fit the photos, or has no answer about
            `MOST_UNANSWERED` photos in a row.
        OutputError: the folder cannot be written, another process works on it, or its records are damaged.
    """
    samples, subset = choose(dataset, limit, seed)
    if isinstance(presence, AnswersReady):  # other answers make another run: found halfway, all before would be lost
        presence.check_photos([sample.key for sample in samples], dataset.space.names)
    settings = describe(plan.kind, plan.segmenter, dataset, samples, subset, presence.key, plan.variants)
    classes = len(dataset.space.classes)
    with open_run(folder, settings, [sample.key for sample in samples]) as journal:
        if not journal.records:
            check_masks(dataset, samples)
        todo = [sample for sample in samples if not _is_done(plan, folder, journal, sample.key)]
        if todo:
            begin_session(folder, settings, dataset.root, session(str(plan.segmenter.backbone.card.device)))
        before = Confusion.each(map(plan.score, journal.records.values()), classes)
        total = Confusion.total(before, classes)
        for new, (record, files) in enumerate(_measure(plan, dataset, presence, todo), start=1):
            key = record["key"]
            _write_files(folder, files)  # before the record: a finished photo has its files
            if key in journal.records:
                _refuse_unlike(plan, journal.records[key], record)
            else:
                journal.append(record)
                total = total + Confusion.from_sparse(plan.score(record), classes)
            if on_image:
                on_image(Progress(len(samples) - len(todo) + new, len(samples), new, key, total))
        records = [journal.records[sample.key] for sample in samples]
        summary = {**plan.summarise(records), **pace(records)}
        # Of this session; a run that was finished keeps what its last one said.
        summary["presence_report"] = presence.report() if todo else read_summary(folder).get("presence_report", {})
        write_summary(folder, summary)
    return summary


def fit_to_space(segmenter: Segmenter, space: LabelSpace) -> Segmenter:
    """The segmenter with a memory of encodings, and the label space's background unless a policy was set.

    The step `presence` is off: which names are asked for is the run's filter's affair.
    """
    config = segmenter.config.without("presence")
    if config.background.policy == "auto":
        config = config.replace({"background": space.background.model_dump()})
    return segmenter.replace(backbone=share_encodings(segmenter.backbone), config=config)


def _is_done(plan: Plan, folder: Path, journal: Journal, key: str) -> bool:
    return key in journal.records and all((folder / name).exists() for name in plan.file_names(key))


def _measure(
    plan: Plan, dataset: Dataset, presence: PresenceFilter, samples: Sequence[Sample]
) -> Iterator[tuple[Record, Mapping[str, bytes]]]:
    """The record and the files of each photo."""
    ask = _Asking(presence)
    for start in range(0, len(samples), plan.batch_size):
        chosen = samples[start : start + plan.batch_size]
        loaded = [(sample, load_image(sample.image), dataset.truth(sample)) for sample in chosen]
        begin, begin_cpu = time.perf_counter(), time.process_time()
        cases = [_case(dataset.space, ask, *each) for each in loaded]
        predictions = plan.predict(cases)
        seconds = {
            "seconds": round((time.perf_counter() - begin) / len(cases), 4),
            "cpu_seconds": round((time.process_time() - begin_cpu) / len(cases), 4),
        }
        for case, predicted in zip(cases, predictions, strict=True):
            yield (
                {**_shared(dataset.space, case), **seconds, **plan.record(case, predicted)},
                plan.files(case, predicted),
            )


class _Asking:
    """Asks a filter about photo after photo.

    A photo about which it has no answer is taken like one whose answer names nothing, and its record says why. Where it
    has none about several in a row, that is not the photos' fault, and the run ends.
    """

    def __init__(self, presence: PresenceFilter) -> None:
        self._presence = presence
        self._in_a_row = 0

    def __call__(self, photo: Photo, names: Sequence[Name]) -> Presence:
        try:
            decided = self._presence.decide(photo, names)
        except UnansweredError as error:
            self._in_a_row += 1
            if self._in_a_row == MOST_UNANSWERED:
                raise
            logger.warning("%s: %s; taken as naming nothing", photo.key, error)
            return Presence((), (0.0,) * len(names), note=f"no answer: {error}")
        self._in_a_row = 0
        return decided


def _case(
    space: LabelSpace, ask: _Asking, sample: Sample, image: Image.Image, truth: Integer[np.ndarray, "h w"]
) -> Case:
    decided = ask(Photo(image, sample.key, space.present(truth)), space.names)
    return Case(sample, image, truth, decided, tuple(space.names[i] for i in decided.kept))


def _shared(space: LabelSpace, case: Case) -> Record:
    """What all runs keep of a photo."""
    return {
        "key": case.sample.key,
        "asked": list(case.presence.kept),
        "present": list(space.present(case.truth)),
        "presence_scores": [float(score) for score in case.presence.scores],
        "note": case.presence.note,
    }


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for parent in {(folder / name).parent for name in files}:
        make_folder(parent)
    write_all({folder / name: content for name, content in files.items()})


def _refuse_unlike(plan: Plan, recorded: Record, found: Record) -> None:
    """A photo that was done, predicted again for its files alone, must come out as it was recorded."""
    if plan.score(recorded) != plan.score(found):
        raise OutputError(
            f"the labels of {found['key']!r} are not those that were counted (another machine or another version of a "
            "package rounds otherwise), so its files would not fit its score; make them with a run in a new folder"
        )


def pace(records: Sequence[Record]) -> dict[str, float]:
    """Seconds of all photos together, wall clock and of all threads."""
    return {name: round(sum(record[name] for record in records), 2) for name in ("seconds", "cpu_seconds")}
