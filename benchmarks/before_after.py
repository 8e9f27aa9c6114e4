"""Speed and memory of this copy against an earlier one, by the benchmarks that both have, side by side.

    python -m benchmarks.before_after blip [--before 2017282] [--rounds 3] [--out FILE]
    python -m benchmarks.before_after mini

Each copy runs its own benchmark on its own source, in processes of their own, the copies in turn within a round: what
else a machine does meanwhile meets both. `blip` is `blip_speed.py` without the released code's way, at random weights
of BLIP large's sizes; `mini` is `segment_speed.py` and `mini_speed.py`, with the weights of either copy.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from benchmarks.blip_speed import save_random_blip_large

ROOT = Path(__file__).parent.parent
# What the earlier copy did by default: four passes of Salience Dropout over the whole photo.
AS_BEFORE = ["--without", "views", "--set", "dropout.passes=4", "--set", "dropout.drop=0.05"]
AS_PROCESSOR_SECONDS = """
import runpy, sys, time
sys.path.insert(0, "benchmarks")
sys.argv = sys.argv[1:]
time.perf_counter = time.process_time
runpy.run_path(sys.argv[0], run_name="__main__")
"""
Numbers = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["blip", "mini"])
    parser.add_argument("--before", default="2017282", help="git revision to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copies = {revision: checkout(revision, Path(scratch)) for revision in (given.before, "HEAD")}
        measure = blip(Path(scratch) / "blip") if given.what == "blip" else mini(Path(scratch))
        rounds: list[dict[str, Numbers]] = []
        for turn in range(given.rounds):
            found = {revision: measure(copy, revision == "HEAD") for revision, copy in copies.items()}
            print(turn, found, file=sys.stderr, flush=True)
            rounds.append(found)
    command = f"python -m benchmarks.before_after {given.what} --before {given.before} --rounds {given.rounds}"
    text = table(rounds, given.before, command)
    print(text)
    (given.out or ROOT / f"benchmarks/results/before_after_{given.what}.md").write_text(text)


def checkout(revision: str, folder: Path) -> Path:
    """A revision without history, in a folder of its own."""
    copy = folder / revision
    copy.mkdir()
    archive = subprocess.run(
        ["git", "archive", revision, "src", "benchmarks", "examples"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", copy], input=archive.stdout, check=True)
    return copy


def call(copy: Path, script: str, *arguments: str) -> str:
    """What a copy's benchmark prints, on one thread; its clock counts processor seconds, whichever it reads."""
    told = {"PYTHONPATH": f"{copy / 'src'}:{copy}", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", AS_PROCESSOR_SECONDS, f"benchmarks/{script}.py", *arguments, "--threads", "1"]
    return subprocess.run(
        command, cwd=copy, env={**os.environ, **told}, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def blip(folder: Path) -> Callable[[Path, bool], Numbers]:
    """CPU seconds and peak memory of the saliency half of the method, one thread."""
    save_random_blip_large(folder)

    def measure(copy: Path, now: bool) -> Numbers:
        numbers = {}
        for dtype in ("float32", "bfloat16"):
            out = str(folder / "maps.npy")
            told = call(copy, "blip_speed", "--work", dtype, str(folder), out)
            seen = json.loads(told.splitlines()[-1])
            numbers |= {f"{dtype}, seconds": seen["seconds"], f"{dtype}, peak GiB": seen["peak"] / 2**30}
        return numbers

    return measure


def mini(scratch: Path) -> Callable[[Path, bool], Numbers]:
    """CPU seconds of one photo and of the parts of `mini`, one thread; each after one that is not counted."""

    def measure(copy: Path, now: bool) -> Numbers:
        out = ["--rounds", "5", "--out", str(scratch / "table.md")]
        photo = numbers_in(call(copy, "segment_speed", *out, *(AS_BEFORE if now else [])))
        parts = numbers_in(call(copy, "mini_speed", *out))
        parts.pop("loading")  # in processes of their own, by the clock on the wall
        return {f"photo: {step}": seconds for step, seconds in photo.items()} | {
            f"model: {step}": seconds for step, seconds in parts.items()
        }

    return measure


def numbers_in(page: str) -> Numbers:
    """The rows of a table of two columns."""
    rows = re.findall(r"^\| (.+?) \| ([\d.]+)(?: s| MB)? \|$", page, re.MULTILINE)
    return {step.strip("*"): float(number) for step, number in rows}


def table(rounds: list[dict[str, Numbers]], before: str, command: str) -> str:
    """The page of results."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [
        f"# Before and now: {before} and {head.stdout.strip()}",
        "",
        f"`{command}`, {date.today()}, torch {torch.__version__}.",
        "",
        "Processor seconds of one thread, medians over the rounds, the copies in turn; the ratio, now over before, is",
        "the median of the rounds' ratios, with the lowest and highest. Of photos: everything on, at the settings of",
        "the earlier copy. Peak memory counts the pages of the weights' files that were read.",
        "",
        "| | before | now | ratio |",
        "|---|---|---|---|",
    ]
    for step in (step for step in rounds[0][before] if step in rounds[0]["HEAD"]):
        old, new = ([each[copy][step] for each in rounds] for copy in (before, "HEAD"))
        ratios = sorted(b / a for a, b in zip(old, new, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        lines.append(f"| {step} | {statistics.median(old):.3f} | {statistics.median(new):.3f} | {spread} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
