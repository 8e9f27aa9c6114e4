"""What every subcommand shares: where text goes, and how errors read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from pnpovss.errors import PnpOvssError

__all__ = ["FAILED", "UNUSABLE", "consoles", "logged_to", "one_line", "readable_errors", "say"]

FAILED, UNUSABLE = 1, 2  # exit codes: some photos failed; nothing could be done as asked


def consoles(*, machine_readable: bool) -> tuple[Console, Console]:
    """(results, notes): stdout and stderr; both stderr where stdout is kept for a program to read."""
    notes = Console(stderr=True)
    return (notes if machine_readable else Console()), notes


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is: no markup, no wrapping, so that paths can be copied."""
    console.print(Text(text, style), soft_wrap=True)


def one_line(error: BaseException) -> str:
    """An error as one readable line; of an unexpected kind, its name is said too."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, PnpOvssError) else f"unexpected {type(error).__name__}: {text}"


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
        hint = "" if isinstance(error, PnpOvssError) else " (a bug; --debug shows where)"
        say(notes, f"error: {one_line(error)}{hint}", "red")
        raise typer.Exit(UNUSABLE) from None


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
