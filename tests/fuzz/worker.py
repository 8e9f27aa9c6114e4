"""One process that tries inputs, one after the other, and tells what came out."""

import faulthandler
import logging
import os
import resource
import signal
import time
import traceback
import warnings
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Literal, Protocol

__all__ = ["STACK", "TARGETS", "Outcome", "Target", "work"]

TARGETS = {
    "photos": "photos:Photos",
    "pictures": "photos:Pictures",
    "names": "names:Names",
    "settings": "settings:Settings",
    "checkpoints": "checkpoints:Checkpoints",
    "results": "results:Results",
    "chat": "chat:Chat",
    "journals": "journals:Journals",
}

STACK = "stack.txt"  # in the folder of a process: where it was when it died, or was asked
_GUARD = 6 << 30  # bytes; a process that grows faster than it is watched


class Target(Protocol):
    """A door of the package, and what is thrown at it.

    Its class is made once a process, with an empty folder of its own.
    """

    def run(self, rng: Random, number: int) -> None:
        """Make the input of this number, which depends on `rng` and the number alone, and hand it in."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        number: of the input.
        kind: taken and refused are as they should be; the others are finds.
        told: the error, or where the process was.
        seconds: that it took.
        peak: most memory that the process held meanwhile [bytes].
    """

    number: int
    kind: Literal["taken", "refused", "foreign", "crash", "hang", "large"]
    told: str
    seconds: float
    peak: int


def work(connection: Connection, name: str, seed: int, folder: str) -> None:
    """Try every number that comes, until None does."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.disable()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (_GUARD, _GUARD))
    with (Path(folder) / STACK).open("w") as stack:
        faulthandler.enable(stack)
        faulthandler.register(signal.SIGUSR1, stack)
        _work(connection, name, seed, Path(folder) / "target")


def _work(connection: Connection, name: str, seed: int, folder: Path) -> None:
    folder.mkdir()
    module, _, kind = TARGETS.get(name, name).partition(":")
    target: Target = getattr(import_module(f"tests.fuzz.targets.{module}"), kind)(folder)
    connection.send("ready")
    while (number := connection.recv()) is not None:
        connection.send(_try(target, Random(f"{seed} {name} {number}"), number))


def _try(target: Target, rng: Random, number: int) -> Outcome:
    from pnpovss.errors import PnpOvssError

    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start, kind, told = time.perf_counter(), "taken", ""
    try:
        target.run(rng, number)
    except PnpOvssError as error:
        kind, told = "refused", type(error).__name__
    except BaseException:  # panics of extensions are no Exceptions
        kind, told = "foreign", traceback.format_exc()
    return Outcome(number, kind, told, time.perf_counter() - start, _peak())


def _peak() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10
