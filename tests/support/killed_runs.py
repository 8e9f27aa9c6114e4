"""`pnpovss eval`, killed with SIGKILL at random moments until it is finished: killed_runs.py DIR KILLS SEED.

What must hold after each kill and at the end is asserted; the last line of the output tells what was done, as JSON. The
program is loaded once and forked, so that most kills hit its work and not its start.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from PIL import Image

from pnpovss.backbones.registry import register
from pnpovss.cli.main import run
from pnpovss.evaluation.runs.evaluate import run_summary
from pnpovss.evaluation.runs.folder import read_run
from tests.support.colours import COLOURS, SIDE, colour_dataset
from tests.support.fakes import colour_backbone, fake_spec

PHOTOS = 24
LONGEST = 1.2  # until a kill [s]


def data_set(root: Path) -> Path:
    """The photos of colours as a folder of one's own."""
    drawn = colour_dataset(root / "drawn", PHOTOS)
    (root / "names.txt").write_text("\n".join(["background", *COLOURS]) + "\n")
    for sample in drawn:
        for source, place in ((sample.image, "images"), (sample.mask, "masks")):
            (root / place).mkdir(exist_ok=True)
            (root / place / f"{sample.key}.png").write_bytes(source.read_bytes())
    return root


def start(data: Path, out: Path) -> int:
    """Begin or resume the run in a process of its own; gives its id."""
    child = os.fork()
    if child:
        return child
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        sys.argv = ["pnpovss", "eval", "folder", "--root", str(data), "--out", str(out), "--model", "fake"]
        sys.argv += ["--presence", "oracle", "--without", "crf", "--save-maps"]
        code = 1
        try:
            run()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)


def lines(out: Path) -> list[str]:
    """Whole lines of the journal."""
    path = out / "images.jsonl"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def check(out: Path, before: list[str]) -> list[str]:
    """What must hold whenever a run was killed; gives the lines that are there now."""
    now = lines(out)
    assert now[: len(before)] == before, "finished photos stay as they are"
    for path in out.glob("maps/*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.size == (SIDE, SIDE)
    for path in out.glob("*.json"):
        json.loads(path.read_text())
    return now


def finish(out: Path, whole: Path) -> None:
    """What must hold in the end: the same as in a run that nobody killed."""
    keys = [json.loads(line)["record"]["key"] for line in lines(out)]
    assert sorted(keys) == sorted(f"photo{i}" for i in range(PHOTOS)), "each photo once"
    found, expected = read_run(out), read_run(whole)
    assert run_summary(found)["classes"] == run_summary(expected)["classes"]
    assert json.loads((out / "summary.json").read_text())["classes"] == run_summary(expected)["classes"]
    for path in whole.glob("maps/*.png"):
        assert (out / "maps" / path.name).read_bytes() == path.read_bytes()
    left = {path.name for path in out.iterdir()}
    assert left == {path.name for path in whole.iterdir()}, "nothing else is left behind"


def main(folder: Path, kills: int, seed: int) -> None:
    """Kill that often; then let the last run finish."""
    register(fake_spec(colour_backbone()))
    moments = random.Random(seed)
    data, whole = data_set(folder / "data"), folder / "whole"
    assert os.waitstatus_to_exitcode(os.waitpid(start(data, whole), 0)[1]) == 0
    killed = finished = 0
    while killed < kills or finished == 0:
        out, before = folder / f"run{finished}", []
        while True:
            child = start(data, out)
            deadline = time.monotonic() + (moments.uniform(0, LONGEST) if killed < kills else 600)
            while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.002)
            if done[0]:
                assert os.waitstatus_to_exitcode(done[1]) == 0, "a run is never refused"
                break
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
            before = check(out, before)
        check(out, before)
        finish(out, whole)
        finished += 1
    print(json.dumps({"killed": killed, "finished": finished}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
