"""`pnpovss models`: which backbones there are, what each needs, and what is on this machine."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pnpovss.cli.terminal import consoles, logged_to, readable_errors

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["models"]


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """List the models, what each needs, and whether it is on this machine."""
    results, notes = consoles(machine_readable=as_json)
    with readable_errors(notes, debug=debug), logged_to(notes):
        with notes.status("Looking for models"):
            rows = _rows()
        if as_json:
            typer.echo(json.dumps(rows, indent=2))
        else:
            results.print(_table(rows))


def _rows() -> list[dict[str, Any]]:
    from pnpovss.backbones.registry import known_backbones  # torch: seconds

    rows = []
    for key, spec in known_backbones().items():
        for model, what in spec.models.items():
            here = spec.available(model)
            needs = "nothing more" if here else "a download from its hub, once; or a folder that holds it"
            row = {"model": model, "backbone": key, "backbone_summary": spec.summary, "what": what, "needs": needs}
            rows.append({**row, "on_this_machine": here})
    return rows


def _table(rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    kinds = dict.fromkeys(f"{row['backbone']}: {row['backbone_summary']}" for row in rows)
    table = Table(caption=Text("\n".join(kinds)), caption_justify="left")
    table.add_column("model", no_wrap=True)
    for column in ("what it is", "needs", "here"):
        table.add_column(column)
    for row in rows:
        here = Text("yes", "green") if row["on_this_machine"] else Text("no", "yellow")
        table.add_row(*(Text(row[key]) for key in ("model", "what", "needs")), here)
    return table
