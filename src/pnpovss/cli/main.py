"""`pnpovss`, the program. Exit codes: 0 all is well, 1 some photos failed, 2 it could not be done as asked."""

import signal
import sys
from typing import Annotated

import typer

from pnpovss._version import __version__
from pnpovss.cli import (
    ablate,
    compare,
    doctor,
    eval,
    explain,
    export,
    gallery,
    manual,
    models,
    report,
    segment,
    serve,
    sweep,
    tune,
)
from pnpovss.cli.standard_output import Enduring
from pnpovss.cli.terminal import FAILED

__all__ = ["app", "run"]

app = typer.Typer(
    name="pnpovss",
    cls=manual.Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("segment", cls=manual.Command)(segment.segment)
app.command("explain", cls=manual.Command)(explain.explain)
app.command("export", cls=manual.Command)(export.export)
app.command("gallery", cls=manual.Command)(gallery.gallery)
app.command("serve", cls=manual.Command)(serve.serve)
app.command("models", cls=manual.Command)(models.models)
app.command("compare", cls=manual.Command)(compare.compare)
app.command("eval", cls=manual.Command)(eval.evaluate)
app.command("report", cls=manual.Command)(report.report)
app.command("ablate", cls=manual.Command)(ablate.ablate)
app.command("sweep", cls=manual.Command)(sweep.sweep)
app.command("doctor", cls=manual.Command)(doctor.doctor)
app.command("tune", cls=manual.Command)(tune.tune)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"pnpovss {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def pnpovss(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Segment photos by words, with no training and no pixel labels."""


def run() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names may hold any bytes
    sys.stdout = shown = Enduring(sys.stdout)  # type: ignore[assignment]
    try:
        app()
    except SystemExit as end:
        shown.flush()
        if shown.error is None or shown.is_closed_pipe:
            raise
        print(f"error: standard output: {shown.error.strerror}; what it was to show is lost", file=sys.stderr)
        raise SystemExit(end.code or FAILED) from None


def _stop(number: int, frame: object) -> None:
    """End through `finally` clauses, so that no temporary file stays behind."""
    raise SystemExit(128 + number)
