"""`pnpovss eval`: measure a model on a benchmark."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from pnpovss.cli import options
from pnpovss.cli.listed import listed
from pnpovss.cli.measuring import Measured, described, progress_bar
from pnpovss.cli.settings import parse_settings, refuse_instances
from pnpovss.cli.terminal import consoles, logged_to, plain, readable_errors, say
from pnpovss.errors import ConfigError

__all__ = ["evaluate"]


@options.grouped
def evaluate(
    measured: Measured,
    without: options.Without = None,
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Also write each class map as a PNG.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Photos the model reads at once.")] = 1,
    instances: Annotated[
        Literal["pieces", "heat"] | None,
        typer.Option(metavar="HOW", help="Measure things instead, told apart by pieces or heat: AP, PQ, count."),
    ] = None,
) -> None:
    """Measure a model on a benchmark: one confusion matrix, mIoU, IoU per class; resumable.

    The folder of the run is read by `pnpovss report`.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=measured.debug), logged_to(notes):
        if instances is not None and (save_maps or batch != 1):
            raise ConfigError("--instances takes no --save-maps and no --batch; leave them out")
        if instances is not None:
            refuse_instances(instances, parse_settings(measured.set_ or []), listed(without))
        data, segmenter, names = measured.load(notes, without)
        if instances is not None:
            from pnpovss.evaluation.report.things import things_markdown
            from pnpovss.evaluation.runs.instances import run_instances

            with progress_bar(notes) as shown:
                summary = run_instances(
                    segmenter, data, names, measured.out, ways=[instances], study=False, **measured.draw(shown)
                )
            typer.echo(things_markdown(summary, described(measured.out)), nl=False)
            return
        from pnpovss.evaluation.runs.evaluate import evaluate as run

        with progress_bar(notes) as shown:
            drawn = measured.draw(shown)
            summary = run(segmenter, data, names, measured.out, batch_size=batch, save_maps=save_maps, **drawn)
        results.print(_table(summary))
        say(results, _headline(measured.out, summary))


def _table(summary: dict[str, Any]) -> Table:
    table = Table("class", "IoU", "precision", "recall", "share of pixels")
    total = sum(entry["pixels"] for entry in summary["classes"].values()) or 1
    for name, entry in summary["classes"].items():
        if entry["iou"] is not None:
            values = [_percent(entry[key]) for key in ("iou", "precision", "recall")]
            table.add_row(plain(name), *values, _percent(entry["pixels"] / total))
    return table


def _headline(folder: Path, summary: dict[str, Any]) -> str:
    numbers = ", ".join(
        f"{label} {_percent(summary[key])}"
        for label, key in (("mIoU", "miou"), ("pixels", "pixel_accuracy"), ("fwIoU", "frequency_weighted_iou"))
    )
    return f"{numbers}\n{described(folder)}\n{folder}; as a page: pnpovss report {folder}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
