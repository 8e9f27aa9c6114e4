"""Many machines for one job: a Ray dataset of photos in, one of outcomes out; the files are those of one process.

Actors load the model once and take batches of photos. Each photo's files are written by the actor itself, where all
machines see them: on a shared disk, or behind a URL. What passes through Ray is small: paths, records, failures.

A batch whose process died is run again by Ray. A marker beside the results tells that it was begun before: then its
photos are done one by one, and the one at which processes keep ending is given up, as `workers` does.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pnpovss.batch.events import Done, Failed, Outcome, Skipped, Task
from pnpovss.batch.folder import folder_at
from pnpovss.batch.photo_files import checksum
from pnpovss.batch.pipeline import overlapped
from pnpovss.batch.recipe import Recipe
from pnpovss.batch.sources import identity
from pnpovss.batch.workers import TRIES
from pnpovss.config import PRESETS
from pnpovss.errors import InvalidInputError, MissingExtraError, NamesError
from pnpovss.files.json import to_json
from pnpovss.files.remote import is_url
from pnpovss.names import Name

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

__all__ = ["Cluster", "dataset_of", "outcomes_of", "segment"]

BATCH = 32  # photos that an actor takes at a time; one that dies costs as many records to be looked up again
ROWS = 1000  # of the Parquet file, that are written at a time
COLUMNS = ("photo", "stem", "names", "state", "error", "details", "anew", "record")


def dataset_of(tasks: Iterable[Task]) -> "Dataset":
    """Tasks as a dataset with the columns photo, stem and names (JSON, or null); a reference a batch is held here.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = _ray()
    import pyarrow

    source, blocks = iter(tasks), []
    while some := list(islice(source, BATCH)):
        rows = [_row(replace(task, photo=identity(task.photo))) for task in some]
        blocks.append(ray.put(pyarrow.Table.from_pylist(rows, schema=_schema()).select(["photo", "stem", "names"])))
    if not blocks:
        raise InvalidInputError("there are no photos to segment")
    return ray.data.from_arrow_refs(blocks)


def segment(
    photos: "Dataset", recipe: Recipe, *, actors: tuple[int, int] = (1, 1), cpus: float = 1, gpus: float = 0
) -> "Dataset":
    """Segment the photos of a dataset; nothing runs before the result is read, and it is read once.

    Args:
        photos: with the columns photo (a URL, or a path that all machines see), stem and names: see `dataset_of`. A
            block of it is what an actor takes, and begins anew where one dies: small blocks are best.
        recipe: of the job; its folders are seen by all machines, too.
        actors: how many at least and at most; Ray starts and ends them as there is work and room.
        cpus: cores for each actor, which computes with as many threads.
        gpus: devices for each actor.

    Returns:
        A row per photo, with the columns `COLUMNS`: state is done, skipped or failed, record the content of NAME.json.
    """
    return photos.map_batches(
        _Actor,
        fn_constructor_args=(recipe, max(1, int(cpus))),
        batch_size=BATCH,
        batch_format="pyarrow",
        compute=_ray().data.ActorPoolStrategy(min_size=actors[0], max_size=actors[1]),
        num_cpus=cpus,
        num_gpus=gpus or None,
    )


def outcomes_of(segmented: "Dataset") -> Iterator[Outcome]:
    """What became of each photo, as it is done.

    Raises:
        NamesError: the model cannot read the job's names.
    """
    for table in segmented.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in table.to_pylist():  # type: ignore[union-attr]
            yield _outcome(row)


@dataclass
class Cluster:
    """Runs a job on a Ray cluster; see `crew.Crew`.

    Attributes:
        recipe: of the job.
        address: of the cluster: "auto", "local" (one of this machine alone), HOST:PORT or ray://HOST:PORT.
        actors: at most so many; None means as many as the cluster has devices (or, without any, cores).
        records: a Parquet file of what became of each photo; None for none.
    """

    recipe: Recipe
    address: str
    actors: int | None = None
    records: Path | None = None

    @property
    def report(self) -> dict[str, Any]:
        """What the filter of names did stays with the actors."""
        return {}

    def run_all(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Every photo, in the order in which they are done; see `Crew`."""
        ray = _ray()
        ray.data.DataContext.get_current().enable_progress_bars = False
        there = ray.cluster_resources()
        gpus = 0 if self.recipe.choice.device == "cpu" else min(1, there.get("GPU", 0))
        most = self.actors or max(1, int(there.get("GPU" if gpus else "CPU", 1)))
        recipe = _seen_from_everywhere(self.recipe)
        unfit: list[Outcome] = []
        segmented = segment(dataset_of(_fit(tasks, unfit)), recipe, actors=(1, most), gpus=gpus)
        with _parquet(self.records) as write:
            for outcome in outcomes_of(segmented):
                write(outcome)
                yield outcome
        yield from unfit

    def __enter__(self) -> "Cluster":
        _ray().init(address=None if self.address == "local" else self.address, logging_level=logging.WARNING)
        return self

    def __exit__(self, *exception: object) -> None:
        _ray().shutdown()


class _Actor:
    """Loads the model once, and segments batches."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._job = recipe.open()
        self._marker = _Marker(recipe.out)

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        import pyarrow

        tasks = [_task(row) for row in batch.to_pylist()]
        try:
            outcomes = list(self._run(tasks))
        except NamesError as error:  # holds for every photo: the driver raises it
            outcomes = [Failed(task, str(error), _NAMES) for task in tasks]
        return pyarrow.Table.from_pylist(list(map(_row_of, outcomes)), schema=_schema())

    def _run(self, tasks: list[Task]) -> Iterator[Outcome]:
        key = checksum(tasks[0].stem.encode("utf-8", "surrogatepass"))[:16]
        died = self._marker.read(key)
        if died is None:
            self._marker.put(key, {})
            yield from overlapped(self._job, tasks)
        else:
            yield from self._carefully(tasks, key, died)
        self._marker.remove(key)

    def _carefully(self, tasks: list[Task], key: str, died: Mapping[str, Any]) -> Iterator[Outcome]:
        """One by one, each written down before it is begun: a process died among these."""
        for task in tasks:
            deaths = died.get("deaths", 0) + 1 if died.get("stem") == task.stem else 0
            if deaths >= TRIES:
                task = replace(task, given_up=f"{task.photo}: the process at work on it ended {TRIES} times")
            self._marker.put(key, {"stem": task.stem, "deaths": deaths})
            yield self._job.run(task)


class _Marker:
    """Small hidden files beside the results, one for each batch that was begun and not ended."""

    def __init__(self, out: Path | str) -> None:
        self._folder = folder_at(out)

    def read(self, key: str) -> dict[str, Any] | None:
        content = self._folder.read(f".pnpovss-{key}.batch")
        return None if content is None else json.loads(content)

    def put(self, key: str, told: Mapping[str, Any]) -> None:
        self._folder.put(f".pnpovss-{key}.batch", to_json(told))

    def remove(self, key: str) -> None:
        self._folder.remove(f".pnpovss-{key}.batch")


_NAMES = "the names of the job"  # in place of a traceback


def _row(task: Task) -> dict[str, Any]:
    names = None if task.names is None else json.dumps([name.all for name in task.names])
    return {"photo": task.photo, "stem": task.stem, "names": names}


def _task(row: Mapping[str, Any]) -> Task:
    told = row["names"]
    names = None if told is None else tuple(Name(text, tuple(synonyms)) for text, *synonyms in json.loads(told))
    return Task(row["photo"], row["stem"], names)


def _row_of(outcome: Outcome) -> dict[str, Any]:
    row = _row(outcome.task)
    if isinstance(outcome, Failed):
        return {**row, "state": "failed", "error": outcome.error, "details": outcome.details}
    record = to_json(outcome.record).decode()
    if isinstance(outcome, Skipped):
        return {**row, "state": "skipped", "record": record}
    return {**row, "state": "done", "record": record, "anew": outcome.anew}


def _outcome(row: Mapping[str, Any]) -> Outcome:
    task = _task(row)
    if row["state"] == "failed":
        if row["details"] == _NAMES:
            raise NamesError(row["error"])
        return Failed(task, row["error"], row["details"])
    record = json.loads(row["record"])
    if row["state"] == "skipped":
        return Skipped(task, record)
    return Done(task, record, tuple(record["hints"]), row["anew"])


def _schema() -> Any:
    import pyarrow

    return pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])


@contextmanager
def _parquet(path: Path | None) -> Iterator[Any]:
    """What takes in outcomes, for a Parquet file that appears when the block ends; it holds `ROWS` of them."""
    if path is None:
        yield lambda outcome: None
        return
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    part, rows = path.with_name(f".{path.name}.part"), list[dict[str, Any]]()
    with ParquetWriter(part, _schema()) as file:

        def flush() -> None:
            file.write_table(pyarrow.Table.from_pylist(rows, schema=_schema()))
            rows.clear()

        def write(outcome: Outcome) -> None:
            rows.append(_row_of(outcome))
            if len(rows) == ROWS:
                flush()

        try:
            yield write
        finally:
            flush()
    part.replace(path)


def _fit(tasks: Iterable[Task], unfit: list[Outcome]) -> Iterator[Task]:
    """Those whose names are text, as tables hold it; the others fail."""
    for task in tasks:
        try:
            (task.photo + task.stem).encode()
        except UnicodeEncodeError:
            unfit.append(
                Failed(task, f"{task.photo}: its name is no text, and Ray's tables hold nothing else; rename it", "")
            )
        else:
            yield task


def _seen_from_everywhere(recipe: Recipe) -> Recipe:
    """The same with paths from the root: actors run in folders of their own."""
    out = recipe.out if is_url(recipe.out) else Path(recipe.out).absolute()
    model, preset = recipe.choice.model, recipe.choice.preset
    if Path(model).is_dir():
        model = str(Path(model).absolute())
    if preset not in PRESETS:  # a file
        preset = str(Path(preset).absolute())
    asked, _, argument = recipe.filter.spec.partition(":")
    chosen = replace(recipe.filter, photos=tuple(map(identity, recipe.filter.photos)))  # as `dataset_of` calls them
    if asked == "file" and argument:
        chosen = replace(chosen, spec=f"file:{Path(argument).absolute()}")
    return replace(recipe, out=out, choice=replace(recipe.choice, model=model, preset=preset), filter=chosen)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("segmenting on a Ray cluster", "ray") from error
    return ray
