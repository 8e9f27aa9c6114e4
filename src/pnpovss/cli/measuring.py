"""What eval, ablate and sweep share: options, loading, progress, and the line that says what was measured."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pnpovss.batch.model import ModelChoice
from pnpovss.batch.recipe import FilterChoice
from pnpovss.cli import options
from pnpovss.cli.listed import listed
from pnpovss.cli.presence import parse_llm
from pnpovss.cli.settings import parse_settings
from pnpovss.cli.terminal import say

if TYPE_CHECKING:
    from pnpovss.datasets.base import Dataset
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["Measured", "described", "progress_bar"]


@dataclass(frozen=True)
class Measured:
    """What is measured, as eval, ablate and sweep all take it: their options, and what these open."""

    dataset: options.DatasetKey
    root: options.Root
    out: options.RunFolder
    model: options.Model = "mini"
    preset: options.Preset = "default"
    presence: options.NamesFrom = "oracle"
    llm: options.Llm = None
    protocol: options.ProtocolName = "field"
    exif: options.Exif = None
    limit: options.Limit = None
    seed: options.Seed = 0
    set_: options.Set = None
    device: options.Device = "auto"
    dtype: options.Dtype = "float32"
    debug: options.Debug = False

    def load(self, notes: Console, without: list[str] | None = None) -> tuple["Dataset", "Segmenter", "PresenceFilter"]:
        """The data set, the segmenter and the presence filter, which share one memory of encodings.

        Args:
            notes: where it says that a model is being loaded.
            without: steps of the method to turn off, as they were typed.
        """
        from pnpovss.datasets import open_dataset
        from pnpovss.presence.registry import refuse_idle

        settings, steps = parse_settings(self.set_ or []), tuple(listed(without))
        refuse_idle(settings, self.presence)
        choice = ModelChoice(self.model, self.device, self.dtype, self.preset, settings, steps)
        chosen = FilterChoice(self.presence, parse_llm(self.llm or [], self.presence), self.device, masks=True)
        early = None if chosen.asks_model else chosen.make()
        protocol: Any = self.protocol  # both are checked where they are opened
        exif: Any = self.exif
        data = open_dataset(self.dataset, self.root, protocol=protocol, exif=exif)
        with notes.status(f"Loading {choice.model}"):
            segmenter = choice.load(share_encodings=True)
            names = early or chosen.make(segmenter)
        assert names is not None  # with masks, every spec is a filter
        return data, segmenter, names

    def draw(self, on_image: Any) -> dict[str, Any]:
        """Which photos a run takes, and who is told after each."""
        return {"limit": self.limit, "seed": self.seed, "on_image": on_image}


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
