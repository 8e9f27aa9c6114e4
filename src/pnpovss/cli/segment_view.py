"""What `pnpovss segment` shows: a table per photo where they are few, what failed, and a summary."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pnpovss.batch.events import Done, Failed, Outcome, Skipped
from pnpovss.batch.photo_files import beside
from pnpovss.batch.records import Records
from pnpovss.cli.terminal import plain, say
from pnpovss.results.colours import colour

__all__ = ["SegmentView"]


class SegmentView:
    """Takes in what became of each photo: shows it, and hands it to the file of all records.

    Attributes:
        details: whether each photo is shown as it is done.
        debug: whether tracebacks are shown.
        done: how many photos were segmented.
        skipped: how many were finished before.
        failed: how many failed, requests that match no photo included.
    """

    def __init__(
        self, results: Console, notes: Console, out: Path | str, records: Records | None, *, details: bool, debug: bool
    ) -> None:
        self.results, self.notes, self.out, self.records = results, notes, out, records
        self.details, self.debug = details, debug
        self.done = self.skipped = self.failed = 0

    def add(self, outcome: Outcome) -> None:
        """What became of one photo."""
        if isinstance(outcome, Failed):
            if self.debug and outcome.details:
                say(self.notes, outcome.details)
            self.fail(outcome.error, outcome.task.photo)
            return
        if self.records:
            self.records.add(outcome.record)
        if isinstance(outcome, Skipped):
            self.skipped += 1
            if self.details:
                say(self.results, f"{outcome.task.photo}: finished before; --redo segments it again", "dim")
            return
        self.done += 1
        if self.details:
            self._show(outcome)

    def fail(self, error: str, photo: str | None = None) -> None:
        """A photo that failed, or a request that is no photo."""
        say(self.notes, error, "red")
        self.failed += 1
        if self.records:
            self.records.add_failure({"photo": photo, "error": error})

    @property
    def so_far(self) -> str:
        """What the line of progress adds."""
        parts = ((self.skipped, "finished before"), (self.failed, "failed"))
        return ", ".join(f"{count:,} {what}" for count, what in parts if count)

    def sum_up(self) -> None:
        """How many photos were done."""
        if self.done + self.skipped == 1 and not self.failed:
            return
        before = f", {self.skipped:,} finished before" if self.skipped else ""
        text = f"{self.done:,} {'photo' if self.done == 1 else 'photos'} done{before}"
        if not self.failed:
            say(self.notes, text)
        else:
            say(self.notes, f"{text}, {self.failed:,} failed (more: docs/troubleshooting.md#folders)", "red")

    def _place(self, name: str) -> str:
        return f"{self.out}/{name}" if isinstance(self.out, str) else str(self.out / name)

    def _show(self, done: Done) -> None:
        say(self.results, done.task.photo, "bold")
        if done.anew:
            say(self.results, f"segmented again: {done.anew}", "dim")
        self.results.print(_table(done.record))
        for line in done.hints:
            say(self.results, line, "yellow")
        for file in done.record["files"]:
            if file["kind"] == "overlay":
                say(self.results, self._place(beside(done.task.stem, file["file"])), "dim")


def _table(record: dict[str, Any]) -> Table:
    """Names, share of pixels and match score; names that were left out are dimmed."""
    table = Table()
    table.add_column("name")
    table.add_column("share of pixels", justify="right")
    table.add_column("match score", justify="right")
    scores = record["presence"]["scores"] if "presence" in record else {}
    for name in record["names"]:
        square = plain("\N{BLACK SQUARE} ", "#{:02x}{:02x}{:02x}".format(*colour(name["label"] - 1)))
        share = f"{name['share']:.1%}" if name["kept"] else "not there"
        score = scores.get(name["name"], name["match"])  # of whoever decided
        match = "-" if score is None else f"{score:.2f}"
        table.add_row(square + plain(name["name"]), plain(share, "" if name["share"] else "dim"), match)
    if background := record["background"]:
        table.add_row(plain("  background", "dim"), plain(f"{background['share']:.1%}", "dim"), "")
    return table
