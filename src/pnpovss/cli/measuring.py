"""What eval, ablate and sweep share: loading, progress, and the line that says what was measured."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pnpovss.batch.model import ModelChoice
from pnpovss.batch.recipe import FilterChoice
from pnpovss.cli.presence import parse_llm
from pnpovss.cli.terminal import say

if TYPE_CHECKING:
    from pnpovss.datasets.base import Dataset
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["described", "load_all", "progress_bar"]


def load_all(
    notes: Console,
    choice: ModelChoice,
    dataset: str,
    root: Path,
    protocol: Any,
    exif: Any,
    presence: str,
    llm: list[str] | None,
) -> tuple["Dataset", "Segmenter", "PresenceFilter"]:
    """The data set, the segmenter and the presence filter, which share one memory of encodings."""
    from pnpovss.datasets import open_dataset

    chosen = FilterChoice(presence, parse_llm(llm or [], presence), choice.device, masks=True)
    early = None if chosen.asks_model else chosen.make()
    data = open_dataset(dataset, root, protocol=protocol, exif=exif)
    with notes.status(f"Loading {choice.model}"):
        segmenter = choice.load(share_encodings=True)
        names = early or chosen.make(segmenter)
    assert names is not None  # with masks, every spec is a filter
    return data, segmenter, names


@contextmanager
def progress_bar(notes: Console) -> Iterator[Any]:
    """Done, of how many, time left, and the running mIoU; gives the function to call after each image.

    A bar on a terminal; elsewhere, such as in a log, a line for every twentieth of the images.
    """
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[score]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        task, begin = bar.add_task("", total=None, score=""), time.monotonic()

        def show(progress: Any) -> None:
            if progress.new == 1:  # photos of an earlier session must not enter the speed
                bar.reset(task, total=progress.of, completed=progress.done - 1)
            score = f"mIoU {100 * progress.confusion.miou:.1f}"
            bar.update(task, completed=progress.done, score=score)
            if not notes.is_terminal and (progress.done == progress.of or progress.done % -(-progress.of // 20) == 0):
                left = (time.monotonic() - begin) / progress.new * (progress.of - progress.done)
                say(notes, f"{progress.done} of {progress.of}, {score}, {left:.0f} s left")

        yield show


def described(folder: Path) -> str:
    """What was measured, and how, in a line; every number goes with it."""
    from pnpovss.evaluation.report.tables import protocol_line
    from pnpovss.evaluation.runs.folder import read_run

    return protocol_line(read_run(folder).settings)
