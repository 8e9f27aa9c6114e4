"""A tuning that is killed comes to the same answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def killed(folder: Path, kills: int) -> dict[str, dict[str, int]]:
    command = [sys.executable, "-m", "tests.support.killed_tunings", str(folder), str(kills), "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_killed_tuning_comes_to_the_same_answer(tmp_path: Path) -> None:
    assert sum(killed(tmp_path, 4)["killed"].values()) == 4


@pytest.mark.slow
def test_a_tuning_killed_many_times_in_every_part_comes_to_the_same_answer(tmp_path: Path) -> None:
    told = killed(tmp_path, 60)
    assert {"collected", "scored"} <= set(told["killed"])
