"""`pnpovss sweep`: how the score depends on a setting, on layer and head, or on how things are told apart."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pnpovss.cli import options
from pnpovss.cli.listed import numbers
from pnpovss.cli.measuring import Measured, described, progress_bar
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say
from pnpovss.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from pnpovss.datasets.base import Dataset
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["sweep"]

COLUMN = {"dropout": "passes", "threshold": "threshold", "size": "image_size"}  # along each axis


@options.grouped
def sweep(
    over: Annotated[
        Literal["heads", "dropout", "threshold", "size", "instances"],
        typer.Argument(
            metavar="AXIS",
            help="heads (all layers and heads), dropout, threshold, size, or instances (ways to tell apart).",
        ),
    ],
    measured: Measured,
    values: Annotated[
        list[str] | None,
        typer.Option(metavar="N,N,...", help="Thresholds, passes or sides in px, instead of the usual."),
    ] = None,
    without: options.Without = None,
) -> None:
    """Sweep a setting over a benchmark. For analysis: never choose a preset on the photos you report on.

    Writes sweep.csv and sweep.png into the folder; heads: one pass, no Salience Dropout, no CRF. instances: things.md
    and four figures, with the peaks of heat in all passes, layers and heads; for data sets that tell things apart.
    """
    _, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=measured.debug), logged_to(notes):
        levels = numbers(values, "--values", float)
        if levels and over in ("heads", "instances"):
            raise ConfigError(f"a sweep over {over} takes all of them, and no --values; leave it out")
        data, segmenter, names = measured.load(notes, without)
        from pnpovss.evaluation.report.plots import plot_heads, plot_variants, require_matplotlib
        from pnpovss.evaluation.runs.folder import read_run
        from pnpovss.evaluation.runs.sweeps import run_heads, sweep_variants, table_csv, variants_table
        from pnpovss.evaluation.runs.variants import run_variants
        from pnpovss.files.writing import write_all

        require_matplotlib()  # before the work
        out = measured.out
        if over == "instances":
            _instances(measured, segmenter, data, names, notes)
            return
        picture = out / "sweep.png"
        with progress_bar(notes) as shown:
            chosen = measured.draw(shown)
            if over == "heads":
                summary = run_heads(segmenter, data, names, out, **chosen)
            else:
                variants = sweep_variants(over, segmenter.config, segmenter.backbone, levels)
                summary = run_variants(f"sweep {over}", segmenter, data, names, variants, out, **chosen)
        run = read_run(out)
        title = described(out)
        if over == "heads":
            rows = summary["heads"]
            title += "; one pass, no Salience Dropout, no Dense CRF"
        else:
            rows = variants_table(list(run.records.values()), run.settings.variants or {}, len(run.settings.classes))
        write_all({out / "sweep.csv": table_csv(rows).encode()})  # before the plot: numbers need no picture
        if over == "heads":
            plot_heads(rows, summary["correlations"], title, picture)
        else:
            plot_variants(rows, COLUMN[over], title, picture)
        typer.echo(table_csv(rows), nl=False)
        say(notes, f"{described(out)}\n{out / 'sweep.csv'}\n{picture}")


def _instances(
    measured: Measured, segmenter: "Segmenter", data: "Dataset", names: "PresenceFilter", notes: "Console"
) -> None:
    from pnpovss.evaluation.report.things import things_markdown
    from pnpovss.evaluation.report.things_plots import plot_things
    from pnpovss.evaluation.runs.instances import run_instances
    from pnpovss.files.writing import write_all

    out = measured.out
    with progress_bar(notes) as shown:
        summary = run_instances(segmenter, data, names, out, **measured.draw(shown))
    figures = plot_things(summary, described(out), out)
    text = things_markdown(summary, described(out), figures)
    write_all({out / "things.md": text.encode()})
    typer.echo(text, nl=False)
    say(notes, f"{out / 'things.md'}")
