"""Which processes are at work on a study, and which are dead: told at once on one host, after a while between hosts.

A process holds the lock of a file of its own while it lives, so that a death is seen at once by all who see the file,
also after kill -9. Where a database is shared by several hosts, each process also counts up a number in the study: one
that no longer counts is dead. No host's clock is compared with another's.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pnpovss.errors import OutputError
from pnpovss.files.lock import locked

__all__ = ["BEAT", "GRACE", "Watch", "beating", "worker", "workers"]

BEAT = 20.0  # seconds between two signs of life
GRACE = 120.0  # seconds without one after which a process is dead
_PLACE = "workers"


@contextmanager
def worker(folder: Path) -> Iterator[str]:
    """A name for this process, held by a lock for as long as it lives."""
    place = folder / _PLACE
    place.mkdir(exist_ok=True)
    name = f"{secrets.token_hex(8)}.lock"
    with locked(place / name):
        try:
            yield name
        finally:
            (place / name).unlink(missing_ok=True)


def workers(folder: Path) -> int:
    """How many processes are at work, or died there."""
    place = folder / _PLACE
    return len(list(place.iterdir())) if place.exists() else 0


@contextmanager
def beating(study: Any, name: str) -> Iterator[None]:
    """Give signs of life in a study that several hosts share."""
    ended = threading.Event()
    study.set_user_attr(_sign(name), 0)
    thread = threading.Thread(target=_beat, args=(study, name, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(study: Any, name: str, ended: threading.Event) -> None:
    from optuna.exceptions import StorageInternalError

    count = 0
    while not ended.wait(BEAT):
        count += 1
        try:
            study.set_user_attr(_sign(name), count)
        except StorageInternalError:  # the database cannot be reached: the next sign may arrive
            continue


def _sign(name: str) -> str:
    return f"alive {name}"


class Watch:
    """Who of the others is alive, as far as this process can tell."""

    def __init__(self, folder: Path, *, hosts: bool, one_lock: bool) -> None:
        """Watch the processes of a folder.

        Args:
            folder: of the tuning.
            hosts: whether there may be others that see another folder, and give signs in the study.
            one_lock: whether all of them take trials, and ask here, under one lock.
        """
        self._folder, self._hosts, self._one_lock = folder, hosts, one_lock
        self._seen: dict[str, tuple[Any, float]] = {}

    def lives(self, study: Any, trial: Any, name: str | None) -> bool:
        """Whether the process that runs a trial is alive; a sign of life that was not seen before is one.

        Args:
            study: that it gives its signs in.
            trial: that runs.
            name: of the process, which it writes on the trial after taking it.
        """
        path = self._folder / _PLACE / (name or "")
        if name is not None and path.exists():
            return _held(path)
        if not self._hosts or (name is None and self._one_lock):  # a living one writes its name before it lets go
            return False
        key, now = name or f"trial {trial.number}", time.monotonic()
        sign = study.user_attrs.get(_sign(name)) if name else None
        if key not in self._seen or self._seen[key][0] != sign:
            self._seen[key] = (sign, now)
        return now - self._seen[key][1] <= GRACE


def _held(path: Path) -> bool:
    """Whether a living process holds this lock; the file of a dead one is removed."""
    try:
        with locked(path):
            pass
    except OutputError:
        return True
    path.unlink(missing_ok=True)
    return False
