"""What each model costs at its published size: seconds and memory of one photo, and how seconds grow with names.

    python -m benchmarks.models [NAME ...] [--redo] [--rounds 2] [--scratch DIR]

Weights are random (`benchmarks/real_sizes.py`): the work does not depend on them. Each model is made, saved, loaded
and measured in processes of their own, one after the other; those that are measured already are left as they are.
What is timed is the model's half of the method, `Segmenter.explain`: encoding, matching, gradients. Processor seconds
of one thread. Results are kept in benchmarks/results/models.json, of which models.md is the page.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.real_sizes import NAMES, SIZES, parameters

RESULTS = Path(__file__).parent / "results" / "models.json"
COUNTS = (1, 3, 10)  # names
MOST_GIGABYTES = 16.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SIZES)}; all if none is given")
    parser.add_argument("--redo", action="store_true", help="measure again what is measured already")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--scratch", type=Path, help="where checkpoints are made, one at a time")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        return SIZES[given.make].save(given.scratch)
    if given.work:
        return work(given.work, given.scratch, given.rounds)
    for name in given.names or SIZES:
        if name not in results() or given.redo:
            keep(name, measure(name, given.rounds, given.scratch))
    RESULTS.with_suffix(".md").write_text(table(results()))
    print(table(results()))


def results() -> dict[str, Any]:
    """What was measured so far, by name."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(name: str, found: dict[str, Any]) -> None:
    """Add what was found of a model."""
    print(name, found, file=sys.stderr, flush=True)
    known = {**results(), name: found}
    RESULTS.write_text(json.dumps({key: known[key] for key in SIZES if key in known}, indent=1) + "\n")


def measure(name: str, rounds: int, scratch: Path | None) -> dict[str, Any]:
    """Make a model and measure it, in two processes: what making it takes is not counted."""
    if SIZES[name].gigabytes > MOST_GIGABYTES:
        return {"left_out": f"about {SIZES[name].gigabytes:.0f} GiB, more than {MOST_GIGABYTES:.0f}"}
    told = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        call = [sys.executable, "-m", "benchmarks.models", "--scratch", folder]
        subprocess.run([*call, "--make", name], check=True, env=told)
        done = subprocess.run(
            [*call, "--work", name, "--rounds", str(rounds)], check=True, env=told, stdout=subprocess.PIPE, text=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def work(name: str, folder: Path, rounds: int) -> None:
    """Measure a model that was made: numbers to stdout as JSON."""
    torch.set_num_threads(1)
    from pnpovss.segmenter import Segmenter

    size, start = SIZES[name], time.process_time()
    without = ["presence", "views", "dropout", "crf"]
    segmenter = Segmenter.from_pretrained(folder, device="cpu", dtype=size.dtype, without=without)
    loading = time.process_time() - start
    card, config = segmenter.backbone.card, segmenter.config
    median_seconds(segmenter, 1, 1)  # what is done once is not counted
    seconds = {count: median_seconds(segmenter, count, rounds) for count in COUNTS}
    passes = Segmenter(segmenter.backbone, config.replace({"dropout.passes": 4}), "default")
    found = {
        "parameters": parameters(folder),
        "image_size": config.image_size,
        "grid": [config.image_size // card.patch] * 2,
        "loading": loading,
        "seconds": seconds,
        "four_passes": median_seconds(passes, 3, 1),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "machine": machine(),
        "day": date.today().isoformat(),
        "rounds": rounds,
        "load": os.getloadavg()[1],
    }
    print(json.dumps(found))


def median_seconds(segmenter: Any, count: int, rounds: int) -> float:
    """Processor seconds of one photo with so many names."""
    from pnpovss.inputs import prepare

    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)
    taken = []
    for _ in range(rounds):
        inputs = prepare(photo, NAMES[:count], segmenter.backbone.card, segmenter.config)
        start = time.process_time()
        segmenter.explain([inputs])
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def machine() -> str:
    """The processor and what matters of it, and torch."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    flags = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in fields.get("flags", "").split()]
    return f"{fields.get('model name', platform.processor())} ({', '.join(flags)}), torch {torch.__version__}"


def of_machine(load: float | None) -> str:
    return "not kept" if load is None else f"{load:.1f}"


def table(found: dict[str, Any]) -> str:
    """The page of results."""
    rows, left_out = [], []
    for name in (name for name in SIZES if name in found):
        size, seen = SIZES[name], found[name]
        if "left_out" in seen:
            left_out.append(f"- {size.like}: {seen['left_out']}.")
            continue
        one, three, ten = (seen["seconds"][str(count)] for count in COUNTS)
        rows.append(
            f"| {size.like} | {seen['parameters'] / 1e6:,.0f} M | {size.dtype} | {seen['image_size']} px, "
            f"{seen['grid'][0]} x {seen['grid'][1]} | {one:.2f} | **{three:.2f}** | {ten:.2f} | {ten / one:.1f} "
            f"| {seen['four_passes']:.2f} | {seen['peak_gib']:.1f} | {seen['loading']:.1f} | {size.source} "
            f"| {seen['day']} | {of_machine(seen.get('load'))} |"
        )
    rounds = sorted({seen["rounds"] for seen in found.values() if "rounds" in seen})
    machines = sorted({seen["machine"] for seen in found.values() if "machine" in seen})
    lines = [
        "# What each model costs",
        "",
        "`python -m benchmarks.models`: one photo, processor seconds of one thread, medians of "
        f"{' or '.join(map(str, rounds))} rounds after one uncounted.",
        f"CPU: {'; '.join(machines)}.",
        "",
        "Random weights at published sizes: the work does not depend on what they are. Timed is the model's half of",
        "the method (`Segmenter.explain`): one look, without views and without asking which names are there; and four",
        "passes of Salience Dropout with three names, one round. Threshold, blur and Dense CRF are the same for all",
        "([speed](names_and_batches.md)). Peak memory is the largest resident set of the process, Python, libraries",
        "and loading included; weights lie in mapped files and count as far as they were read. The ratio tells what",
        "ten names cost against one: what is computed once per photo keeps it below ten. Load is how many processes",
        "wanted the machine's cores in the last five minutes: above their number they were shared, and seconds are",
        "too many rather than too few.",
        "",
        "| as large as | parameters | computes in | input, patches | 1 name [s] | 3 names [s] | 10 names [s] | 10 : 1 "
        "| 3 names, four passes [s] | peak [GiB] | loading [s] | sizes from | day | load |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    if left_out:
        lines += ["", "Left out, for want of memory on the machine:", "", *left_out]
    if missing := [size.like for name, size in SIZES.items() if name not in found]:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
