"""How far a run over many photos is: one line, with rate and time left; plain lines where there is no terminal."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from pnpovss.cli.terminal import say

__all__ = ["Pace", "duration", "following"]

EVERY = 10.0  # seconds between plain lines
WINDOW = 60.0  # seconds that the rate is a mean over


class Pace:
    """Photos per second over the last minute, and how long the rest takes at that rate."""

    def __init__(self, total: int, now: float) -> None:
        self.total, self.done = total, 0
        self._marks: deque[tuple[float, int]] = deque([(now, 0)])

    def step(self, now: float) -> None:
        """One more photo is dealt with."""
        self.done += 1
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Photos per second; 0 before the first."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def __str__(self) -> str:
        if not self.rate:
            return ""
        left = duration((self.total - self.done) / self.rate)
        return f"{self.rate:.1f} photos/s, {left} left" if self.done < self.total else f"{self.rate:.1f} photos/s"


@contextmanager
def following(notes: Console, total: int) -> Iterator["Following"]:
    """Show progress while the block runs; gives what has to be told of each photo."""
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}", markup=False))
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        yield Following(bar, notes, total)


class Following:
    """See `following`."""

    def __init__(self, bar: Progress, notes: Console, total: int) -> None:
        self.bar, self.notes = bar, notes
        self.pace = Pace(total, time.monotonic())
        self.task = bar.add_task("", total=total, told="")
        self.last = time.monotonic()

    def step(self, told: str = "") -> None:
        """One more photo is dealt with.

        Args:
            told: what to add to the line, such as how many failed.
        """
        now = time.monotonic()
        self.pace.step(now)
        line = ", ".join(part for part in (str(self.pace), told) if part)
        self.bar.update(self.task, advance=1, told=line)
        if not self.notes.is_terminal and now - self.last >= EVERY:
            self.last = now
            say(self.notes, f"{self.pace.done:,} of {self.pace.total:,} photos, {line}")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3 h 20 min, 2 days 5 h."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"
