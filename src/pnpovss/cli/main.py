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
for name, command in {
    "segment": segment.segment,
    "explain": explain.explain,
    "export": export.export,
    "gallery": gallery.gallery,
    "serve": serve.serve,
    "models": models.models,
    "compare": compare.compare,
    "eval": eval.evaluate,
    "report": report.report,
    "ablate": ablate.ablate,
    "sweep": sweep.sweep,
    "doctor": doctor.doctor,
    "tune": tune.tune,
}.items():
    app.command(name, cls=manual.Command)(command)


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
