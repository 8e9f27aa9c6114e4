"""One writer at a time, held by real processes."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pnpovss.errors import OutputError
from pnpovss.files.lock import lock, locked

HOLDER = """
import os, sys
from pathlib import Path
from pnpovss.files.lock import lock
lock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_waits_for_its_turn_and_a_kill_frees_the_place(tmp_path: Path):
    place = tmp_path / "place"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        file = os.open(place, os.O_RDWR)
        with pytest.raises(OutputError, match="place is being written by another process"):
            lock(file, place)
        holder.kill()
        holder.wait()
    lock(file, place)
    os.close(file)


def test_what_cannot_be_locked_is_named(tmp_path: Path):
    file = os.open(tmp_path, os.O_RDONLY)
    os.close(file)
    with pytest.raises(OutputError, match=r"cannot be locked \(Bad file descriptor\)"):
        lock(file, tmp_path)


def test_who_is_patient_gets_the_place_when_it_is_free(tmp_path: Path):
    place = tmp_path / "place"
    with locked(place):
        held = threading.Event()

        def wait() -> None:
            with locked(place, patience=30):
                held.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        with pytest.raises(OutputError, match="place is being written by another process"), locked(place, patience=0.1):
            pass
        assert not held.is_set()
    waiting.join(30)
    assert held.is_set()
    with pytest.raises(OutputError, match=r"cannot write .*none/place: No such file"), locked(tmp_path / "none/place"):
        pass
