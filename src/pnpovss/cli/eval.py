"""`pnpovss eval`: measure a model on a benchmark."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pnpovss.cli.presence import LLM_HELP, early_presence
from pnpovss.cli.settings import parse_settings, parse_steps
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say
from pnpovss.config import PRESETS, STEPS, Config

if TYPE_CHECKING:
    from pnpovss.datasets.base import Dataset
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["described", "evaluate", "load_all", "progress_bar"]

# Options that eval, ablate and sweep share.
DatasetKey = Annotated[
    str, typer.Argument(metavar="DATASET", help="voc2012, ade20k, folder, ...; a wrong one lists them.")
]
Root = Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds the data set.")]
Model = Annotated[str, typer.Option(help="A bundled name, a hub id or a folder; see `pnpovss models`.")]
Preset = Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")]
Presence = Annotated[
    str, typer.Option(help="Which names are asked for: all, oracle, itm, itc, file:PATH, clip:MODEL, llm:MODEL.")
]
Llm = Annotated[list[str] | None, typer.Option("--llm", metavar="NAME=VALUE", help=LLM_HELP)]
ProtocolOption = Annotated[
    str, typer.Option(help="field (as most papers count) or authors (as the released code does).")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Use so many photos only; the result is called a subset.")]
Seed = Annotated[int, typer.Option(help="Of the draw of these photos.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Replace a setting.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Dtype = Annotated[str, typer.Option(help="float32 (exact) or bfloat16 (faster).")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


def evaluate(
    dataset: DatasetKey,
    root: Root,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; an unfinished one is gone on with.")],
    model: Model = "mini",
    preset: Preset = "default",
    presence: Presence = "oracle",
    llm: Llm = None,
    protocol: ProtocolOption = "field",
    limit: Limit = None,
    seed: Seed = 0,
    without: Annotated[
        list[str] | None, typer.Option(metavar="STEP,...", help=f"Steps to leave out: {', '.join(STEPS)}.")
    ] = None,
    set_: Set = None,
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Also write each class map as a PNG.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Photos the model reads at once.")] = 1,
    device: Device = "auto",
    dtype: Dtype = "float32",
    debug: Debug = False,
) -> None:
    """Measure a model on a benchmark: one confusion matrix, mIoU, IoU per class; resumable.

    The folder of the run is read by `pnpovss report`.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        chosen = {"preset": preset, "settings": parse_settings(set_ or []), "without": parse_steps(without or [])}
        data, segmenter, names = load_all(
            notes, dataset, root, protocol, presence, llm, model=model, device=device, dtype=dtype, **chosen
        )
        from pnpovss.evaluation.runs.evaluate import evaluate as run

        with progress_bar(notes) as shown:
            summary = run(
                segmenter,
                data,
                names,
                out,
                limit=limit,
                seed=seed,
                batch_size=batch,
                save_maps=save_maps,
                on_image=shown,
            )
        results.print(_table(summary))
        say(results, _headline(out, summary))


def load_all(
    notes: Console,
    dataset: str,
    root: Path,
    protocol: Any,
    presence: str,
    llm: list[str] | None = None,
    **chosen: Any,
) -> tuple["Dataset", "Segmenter", "PresenceFilter"]:
    """The data set, the segmenter and the presence filter, which share one memory of encodings."""
    Config.preset(chosen["preset"], chosen["settings"]).without(*chosen["without"])  # before seconds of loading
    from pnpovss.datasets import open_dataset

    early = early_presence(presence, llm or [], device=chosen["device"], masks=True)
    data = open_dataset(dataset, root, protocol=protocol)
    with notes.status(f"Loading {chosen['model']}"):
        from pnpovss.backbones.memory import share_encodings
        from pnpovss.presence import make_presence
        from pnpovss.segmenter import Segmenter

        segmenter = Segmenter.from_pretrained(**chosen)
        segmenter = Segmenter(share_encodings(segmenter.backbone), segmenter.config, segmenter.preset)
        names = early or make_presence(presence, backbone=segmenter.backbone, config=segmenter.config)
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
            if progress.new == 1:  # photos of an earlier sitting must not enter the speed
                bar.reset(task, total=progress.of, completed=progress.done - 1)
            score = f"mIoU {100 * progress.confusion.miou:.1f}"
            bar.update(task, completed=progress.done, score=score)
            if not notes.is_terminal and (progress.done == progress.of or progress.done % -(-progress.of // 20) == 0):
                left = (time.monotonic() - begin) / progress.new * (progress.of - progress.done)
                say(notes, f"{progress.done} of {progress.of}, {score}, {left:.0f} s left")

        yield show


def _table(summary: dict[str, Any]) -> Table:
    table = Table("class", "IoU", "precision", "recall", "share of pixels")
    total = sum(entry["pixels"] for entry in summary["classes"].values()) or 1
    for name, entry in summary["classes"].items():
        if entry["iou"] is not None:
            values = [_percent(entry[key]) for key in ("iou", "precision", "recall")]
            table.add_row(Text(name), *values, _percent(entry["pixels"] / total))
    return table


def described(folder: Path) -> str:
    """What was measured, and how, in a line; every number goes with it."""
    from pnpovss.evaluation.report.markdown import protocol_line
    from pnpovss.evaluation.runs.folder import read_run

    return protocol_line(read_run(folder).settings)


def _headline(folder: Path, summary: dict[str, Any]) -> str:
    numbers = ", ".join(
        f"{label} {_percent(summary[key])}"
        for label, key in (("mIoU", "miou"), ("pixels", "pixel_accuracy"), ("fwIoU", "frequency_weighted_iou"))
    )
    return f"{numbers}\n{described(folder)}\n{folder}; as a page: pnpovss report {folder}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
