"""`pnpovss serve` as a process, for tests and measurements."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

PROGRAM = "from pnpovss.cli.main import run; run()"


@dataclass(frozen=True)
class Served:
    """A service that listens.

    Attributes:
        url: of its page.
        process: it.
        log: the file that its output goes to.
        listened: seconds from its start until it listened.
        cold: seconds from its start until it was ready.
    """

    url: str
    process: subprocess.Popen
    log: Path
    listened: float
    cold: float


@contextmanager
def served(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None, program: str = PROGRAM
) -> Iterator[Served]:
    """Start a service at a free port, and wait until it is ready; it is ended with the block."""
    log, begun = folder / "log.txt", time.monotonic()
    call = [sys.executable, "-c", program, "serve", "--port", "0", *options]
    with log.open("w") as file:
        process = subprocess.Popen(call, stdout=file, stderr=file, env={**os.environ, **(environment or {})})
    try:
        url = _wait(lambda: re.search(r"^http://\S+/", log.read_text(), re.MULTILINE), process, log)[0]
        listened = time.monotonic() - begun
        _wait(lambda: _is_ready(url), process, log)
        yield Served(url, process, log, listened, time.monotonic() - begun)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(look, process: subprocess.Popen, log: Path, seconds: float = 180):
    end = time.monotonic() + seconds
    while not (found := look()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    return found


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}readyz", timeout=10) as answer:
            return answer.status == 200
    except OSError:  # not yet; or no answer in time, while the model's library is imported
        return False
