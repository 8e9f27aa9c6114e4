"""A tuning, killed with SIGKILL at random moments of every part until it is finished: killed_tunings.py DIR KILLS SEED.

The answer, and every table, must be those of a tuning that nobody killed; what a journal holds stays as it is. The
last line of the output tells how often which part was killed, as JSON. The program is loaded once and forked.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pnpovss.config import Config
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.tune import tune
from tests.support.tuning import ColourJudge, photos_of_colours, two_heads

PHOTOS = 24
FURTHEST = 12  # lines that are written between kills, at most
LONGEST = 0.05  # from such a line to the kill [s]
JOURNALS = ("collected.jsonl", "scored.jsonl", "means.jsonl")
TABLES = ("cells.csv", "heads.csv")


def run(photos: list[tuple[Path, list[str]]], out: Path, **choices: Any) -> int:
    """Begin or resume the tuning in a process of its own; gives its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        segmenter = Segmenter(two_heads(), Config.preset("default", {"head": 1}))
        tune(segmenter, photos, out, judge=ColourJudge(), means=(2,), **choices)
        code = 0
    finally:
        os._exit(code)


def wait(child: int, longest: float) -> int:
    """The exit code.

    Raises:
        TimeoutError: it was still running after that time.
    """
    deadline = time.monotonic() + longest
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"a tuning took more than {longest} seconds")
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(done[1])


def kill(child: int, out: Path, count: int, later: float) -> int | None:
    """Kill some time after the journals hold so many lines, on a machine of any speed.

    Returns:
        None; the exit code where it ended before.
    """
    moment = None
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if moment is None and written(lines(out)) >= count:
            moment = time.monotonic() + later
        if moment is not None and time.monotonic() > moment:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(done[1])


def lines(out: Path) -> dict[str, list[str]]:
    """Whole lines of each journal."""
    there = {name: out / name for name in JOURNALS}
    return {name: path.read_text().split("\n")[:-1] if path.exists() else [] for name, path in there.items()}


def written(found: dict[str, list[str]]) -> int:
    """Lines of all journals together."""
    return sum(map(len, found.values()))


def stage(found: dict[str, list[str]]) -> str:
    """What was going on."""
    begun = [name for name in JOURNALS if found[name]]
    return begun[-1].removesuffix(".jsonl") if begun else "start"


def answer(out: Path) -> dict[str, Any]:
    """What tuned.json says, but when."""
    return {key: value for key, value in json.loads((out / "tuned.json").read_text()).items() if key != "created"}


def main(folder: Path, kills: int, seed: int) -> None:
    """Kill that often; then let the last tuning finish."""
    moments, photos = random.Random(seed), photos_of_colours(folder / "data", PHOTOS)
    whole = folder / "whole"
    assert wait(run(photos, whole), 600) == 0
    killed: dict[str, int] = {}
    finished = 0
    while sum(killed.values()) < kills or finished == 0:
        out = folder / f"run{finished}"
        before = lines(out)
        while True:
            child = run(photos, out)
            if sum(killed.values()) < kills:
                code = kill(child, out, written(before) + moments.randint(0, FURTHEST), moments.uniform(0, LONGEST))
            else:
                code = wait(child, 600)
            now = lines(out)
            assert all(now[name][: len(before[name])] == before[name] for name in JOURNALS), "what is done stays"
            before = now
            if code is not None:
                assert code == 0, "a tuning is never refused"
                break
            killed[stage(now)] = killed.get(stage(now), 0) + 1
        assert answer(out) == answer(whole)
        for name in TABLES:
            assert (out / name).read_bytes() == (whole / name).read_bytes()
        for name in JOURNALS:
            keys = [json.loads(line)["record"]["key"] for line in now[name]]
            assert len(keys) == len(set(keys)) == len(photos), "each photo once"
        finished += 1
    print(json.dumps({"killed": killed, "finished": finished}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
