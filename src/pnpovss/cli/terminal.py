"""What every subcommand shares: where text goes, and how errors read."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from pnpovss.batch.events import one_line, page_of
from pnpovss.errors import PnpOvssError
from pnpovss.printable import printable

__all__ = ["FAILED", "UNUSABLE", "consoles", "logged_to", "plain", "readable_errors", "say"]

FAILED, UNUSABLE = 1, 2  # exit codes: some photos failed; nothing could be done as asked


def consoles(*, machine_readable: bool) -> tuple[Console, Console]:
    """(results, notes): stdout and stderr; both stderr where stdout is kept for a program to read.

    Progress moves on terminals alone: notebooks set FORCE_COLOR, which rich takes for one.
    """
    notes = Console(stderr=True, force_terminal=None if sys.stderr.isatty() else False)
    return (notes if machine_readable else Console()), notes


def say(console: Console, text: str, style: str = "") -> None:
    """Print lines as they are: no markup, no wrapping, so that paths can be copied; nothing steers the terminal."""
    for line in text.split("\n"):
        console.print(plain(line, style), soft_wrap=True)


def plain(text: str, style: str = "") -> Text:
    """Text from outside, such as a name or a path, as a table may show it."""
    return Text(printable(text), style)


@contextmanager
def readable_errors(notes: Console, *, debug: bool) -> Iterator[None]:
    """End with one line on stderr and exit code 2; `debug` shows the traceback instead.

    Errors that are not ours are bugs: they are named as such.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        say(notes, "interrupted; what was written is complete", "yellow")
        raise typer.Exit(130) from None
    except Exception as error:
        if debug:
            raise
        say(notes, f"error: {one_line(error)}{_hint(error)}", "red")
        raise typer.Exit(UNUSABLE) from None


def _hint(error: Exception) -> str:
    """The page of the documentation about what went wrong, where there is one; else how to see where it did."""
    page = page_of(error)
    if page is not None:
        return f" (more: docs/{page})"
    return "" if isinstance(error, PnpOvssError) else " (a bug; --debug shows where)"


class _Lines(logging.Handler):
    """Warnings of the library as lines on a console."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        say(self.console, f"note: {record.getMessage()}", "yellow")


@contextmanager
def logged_to(console: Console) -> Iterator[None]:
    """Show the library's warnings, and Python's, as lines on a console."""
    handler = _Lines(console)
    loggers = [logging.getLogger(name) for name in ("pnpovss", "py.warnings")]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        logging.captureWarnings(False)
