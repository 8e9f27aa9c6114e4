"""What `pnpovss segment` shows: a table per photo, a line of progress, and what failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pnpovss.batch.events import Done, Outcome
from pnpovss.batch.records import Records
from pnpovss.cli.terminal import plain, say
from pnpovss.printable import printable
from pnpovss.results.colours import colour

__all__ = ["SegmentView", "following"]


class SegmentView:
    """Takes in what became of each photo: shows it, and hands it to the file of all records.

    Attributes:
        done: how many photos were segmented.
        failures: a line on each that was not, and on each request that matched none.
    """

    def __init__(self, results: Console, notes: Console, out: Path, records: Records | None, *, debug: bool) -> None:
        self.results, self.notes, self.out = results, notes, out
        self.records, self.debug = records, debug
        self.done = 0
        self.failures: list[str] = []

    def add(self, outcome: Outcome) -> None:
        """What became of one photo."""
        if isinstance(outcome, Done):
            self.done += 1
            self._show(outcome)
            if self.records:
                self.records.add(outcome.record)
            return
        if self.debug:
            say(self.notes, outcome.details)
        self.fail(outcome.error, str(outcome.task.photo))

    def fail(self, error: str, photo: str | None = None) -> None:
        """A photo that failed, or a request that is no photo."""
        self.failures.append(error)
        if self.records:
            self.records.failures.append({"photo": photo, "error": error})

    def sum_up(self) -> None:
        """How many photos were done, and why the others were not."""
        say(self.notes, f"{self.done} photos done, {len(self.failures)} not:", "red")
        for error in self.failures:
            say(self.notes, f"  {error}", "red")

    def _show(self, done: Done) -> None:
        say(self.results, str(done.task.photo), "bold")
        self.results.print(_table(done.record))
        for line in done.hints:
            say(self.results, line, "yellow")
        for file in done.record["files"]:
            if file["kind"] == "overlay":
                say(self.results, str(self.out / file["file"]), "dim")


@contextmanager
def following(notes: Console, total: int) -> Iterator[Any]:
    """A progress bar while the block runs, on a terminal; gives the function to call after each photo."""
    columns = (SpinnerColumn(), TextColumn("{task.fields[photo]}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=notes, transient=True, disable=not notes.is_terminal
    ) as progress:
        bar = progress.add_task("", total=total, photo="")
        yield lambda outcome: progress.update(bar, advance=1, photo=escape(printable(outcome.task.photo.name)))


def _table(record: dict[str, Any]) -> Table:
    """Names, share of pixels and match score; names that were left out are dimmed."""
    table = Table()
    table.add_column("name")
    table.add_column("share of pixels", justify="right")
    table.add_column("match score", justify="right")
    for name in record["names"]:
        square = plain("\N{BLACK SQUARE} ", "#{:02x}{:02x}{:02x}".format(*colour(name["label"] - 1)))
        style, match = "" if name["kept"] else "dim", name["match"]
        share = f"{name['share']:.1%}" if name["kept"] else "absent"
        table.add_row(
            square + plain(name["name"], style),
            plain(share, "" if name["share"] else "dim"),
            plain("-" if match is None else f"{match:.2f}", style),
        )
    if background := record["background"]:
        table.add_row(plain("  background", "dim"), plain(f"{background['share']:.1%}", "dim"), "")
    return table
