"""Processes that share a step of the recipe."""

import subprocess
import sys
from pathlib import Path

import pytest

import training
from training.parts import in_parts
from training.workspace import Workspace

pytestmark = pytest.mark.extra("training")

RUN = """
import sys, time
from pathlib import Path
from training.parts import in_parts
from training.workspace import Workspace

def share(work, part, parts, seconds):
    print(f"{part} of {parts}", flush=True)
    if seconds < 0:
        raise SystemExit(part)
    time.sleep(seconds)

if __name__ == "__main__":
    in_parts(share, Workspace(Path(), Path(), Path()), 2, int(sys.argv[1]))
"""


def start(folder: Path, seconds: int) -> subprocess.Popen:
    script = folder / "shared.py"
    script.write_text(RUN)
    root = str(Path(training.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, script, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.timeout(120)
def test_workers_end_with_a_run_that_is_killed(tmp_path: Path):
    run = start(tmp_path, seconds=100)
    assert run.stdout is not None
    assert sorted(run.stdout.readline() for _ in range(2)) == ["0 of 2\n", "1 of 2\n"]
    run.kill()
    run.communicate(timeout=20)  # to the end of an output that the workers hold, too


@pytest.mark.timeout(120)
def test_a_worker_that_fails_is_told_of(tmp_path: Path):
    run = start(tmp_path, seconds=-1)
    _, errors = run.communicate()
    assert run.returncode == 1
    assert "1 of 2 workers failed; see above, then run the same command again" in errors


def test_one_worker_needs_no_process(tmp_path: Path):
    done = []
    in_parts(lambda *given: done.append(given[1:]), Workspace(tmp_path, tmp_path, tmp_path), 1, 7)
    assert done == [(0, 1, 7)]
