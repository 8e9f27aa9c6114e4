"""One writer at a time, held by real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from pnpovss.errors import OutputError
from pnpovss.files.lock import one_writer

HOLDER = """
import sys
from pathlib import Path
from pnpovss.files.lock import one_writer
with one_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_waits_for_its_turn_and_a_kill_frees_the_place(tmp_path: Path):
    place = tmp_path / "run" / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=r"run/lock is being written by another process"), one_writer(place):
            raise AssertionError("entered a place that is held")
        holder.kill()
        holder.wait()
    with one_writer(place):
        pass
    with one_writer(place):
        pass


def test_a_place_that_cannot_be_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/lock"), one_writer(tmp_path / "file" / "lock"):
        pass
