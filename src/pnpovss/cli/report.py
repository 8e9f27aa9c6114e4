"""`pnpovss report`: runs side by side, as a page and as Markdown."""

from pathlib import Path
from typing import Annotated

import typer

from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say

__all__ = ["report"]


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that `pnpovss eval` wrote.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes; the first run's folder if not given.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Compare runs: report.html (a page that needs no network) and report.md (tables for a paper)."""
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from pnpovss.evaluation.report.page import write_report

        for path in write_report(runs, out or runs[0]):
            say(results, str(path))
