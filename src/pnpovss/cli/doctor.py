"""`pnpovss doctor`: what is installed, which models are here, and a self-test."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pnpovss.cli import options
from pnpovss.cli.terminal import FAILED, consoles, logged_to, plain, readable_errors

__all__ = ["doctor"]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    self_test: Annotated[bool, typer.Option("--self-test/--no-self-test", help="Segment a drawn picture.")] = True,
    debug: options.Debug = False,
) -> None:
    """Tell what is installed, which models are here, how many threads compute, and whether segmenting works.

    Put its answer into a bug report. Exit code 1: something is not as it should be; the table says what to do.
    """
    results, notes = consoles(machine_readable=as_json)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from rich.table import Table

        from pnpovss.checkup import examine

        with notes.status("Looking"):
            findings = list(examine(self_test=self_test))
        if as_json:
            typer.echo(json.dumps([asdict(each) for each in findings], indent=2))
        else:
            table = Table(show_header=False, box=None)
            part = ""
            for each in findings:
                style = {True: "green", False: "red", None: ""}[each.fine]
                head = each.part if each.part != part else ""
                part = each.part
                cells = ((head, "bold"), (each.what, ""), (each.found, style), (each.remedy, "dim"))
                table.add_row(*(plain(*cell) for cell in cells))
            results.print(table)
        if any(each.fine is False for each in findings):
            raise typer.Exit(FAILED)
