"""What a folder of photos costs: a naive loop, one worker, two; bookkeeping alone; a rerun that skips all.

    python -m benchmarks.folders PHOTOS --count 2000 --tiny 100000 --scratch DIR [--out benchmarks/results/folders.md]

PHOTOS holds JPEG files. They are copied into nested folders in which every folder has the same file names. Each way
runs in a process of its own, with one thread per process, one after the other: CPU seconds of all its processes, wall
seconds from start to end, the greatest memory of any of its processes, and how much memory that of longest life gained
from a tenth of the run to its end. Bookkeeping is the job with a segmenter that costs nothing.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

NAMES = "person, dog, grass, water"
PER_FOLDER = 20

NAIVE = """
import sys
from pathlib import Path
from pnpovss import Segmenter
segmenter = Segmenter.from_pretrained("mini")
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
for path in sorted(folder.rglob("*.jpg")):
    result = segmenter(path, sys.argv[3].split(", "), name_match=True)
    stem = str(path.relative_to(folder).with_suffix("")).replace("/", "-")
    result.to_png().save(out / f"{stem}.png")
    result.overlay(path).save(out / f"{stem}.overlay.png")
"""

BOOKKEEPING = """
import sys
from pathlib import Path
from pnpovss import Segmenter
from pnpovss.batch.crew import Alone
from pnpovss.batch.job import Job
from pnpovss.batch.photos import find
from pnpovss.names import parse_names
folder, out, names = sys.argv[1], Path(sys.argv[2]), parse_names(sys.argv[3].split(", "))
real = Segmenter.from_pretrained("mini")
found = find([folder], recursive=True, out=out).photos
result = real(next(iter(found)).path, names, name_match=True)

class Costless:
    backbone, preset, config = real.backbone, real.preset, real.config
    settings_source = real.settings_source
    def __call__(self, image, names, **options):
        return result

job = Job(Costless(), names, out, ("labels",))
for outcome in Alone(job).run_all(found.tasks()):
    if type(outcome).__name__ == "Failed":
        sys.exit(outcome.error)
"""


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="What a folder of photos costs.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--tiny", type=int, default=100_000, help="photos of 8 x 8 pixels, for bookkeeping")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    scratch: Path = arguments.scratch
    shutil.rmtree(scratch, ignore_errors=True)
    sources = sorted(arguments.photos.rglob("*.jpg"))[: arguments.count]
    for i, source in enumerate(sources):
        place = scratch / "in" / f"{i // PER_FOLDER // 10}" / f"{i // PER_FOLDER}" / f"{i % PER_FOLDER}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    program = [sys.executable, "-c", "from pnpovss.cli.main import run; run()"]
    segment = [*program, "segment", scratch / "in", "-r", "--names", NAMES]
    (scratch / "naive").mkdir()
    rows = {
        "naive loop over `Segmenter`": [sys.executable, "-c", NAIVE, scratch / "in", scratch / "naive", NAMES],
        "`segment`": [*segment, "--out", scratch / "one"],
        "`segment --workers 2`": [*segment, "--out", scratch / "two", "--workers", 2],
        "the same again: all skipped": [*segment, "--out", scratch / "two", "--workers", 2],
        "start-up: `segment` of no photo": [*program, "segment", scratch / "none.jpg", "--names", "cat"],
    }
    measured = {what: (measure(call), len(sources)) for what, call in rows.items()}
    if arguments.tiny:
        tiny(scratch / "tiny", arguments.tiny)
        call = [sys.executable, "-c", BOOKKEEPING, scratch / "tiny", scratch / "books", NAMES]
        for what in (f"bookkeeping, {arguments.tiny:,} tiny photos", "bookkeeping again: all skipped"):
            measured[what] = (measure(call), arguments.tiny)
    text = table(measured, len(sources))
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def tiny(folder: Path, count: int) -> None:
    """Photos of 8 x 8 pixels, all different."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(count):
        place = folder / f"{i // 100}" / f"{i % 100}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(place)


def measure(call: list[object]) -> dict[str, float]:
    """Wall and CPU seconds of a process and its children, and what they hold in memory."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        list(map(str, call)),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    memory: dict[int, list[int]] = {}
    watcher = threading.Thread(target=watch, args=(process, memory))
    watcher.start()
    process.wait()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    held = max(memory.values(), key=len, default=[0])
    busiest = max(memory.values(), key=max, default=[0])
    return {
        "wall": time.monotonic() - begin,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak": max(busiest) / 2**20,
        "growth": (held[-1] - held[len(held) // 10]) / 2**20,
    }


def watch(process: "subprocess.Popen[bytes]", memory: dict[int, list[int]]) -> None:
    """Note what each process holds that is its own or shared (RSS), five times a second."""
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            for each in (parent, *parent.children()):
                memory.setdefault(each.pid, []).append(each.memory_info().rss)
        except psutil.Error:
            pass
        time.sleep(0.2)


def table(measured: dict[str, tuple[dict[str, float], int]], count: int) -> str:
    """The measurements as Markdown."""
    load = os.getloadavg()[1]
    lines = [
        "# Folders of photos",
        "",
        f"`python -m benchmarks.folders`, {time.strftime('%Y-%m-%d')}: {count:,} photos of Flickr8k, 224 x 224 pixels,",
        f"in nested folders, names {NAMES}, `mini`, preset `default`, one thread per process;",
        f"{os.cpu_count()} cores, load average {load:.1f} at the end (above the cores: others were at work, and wall",
        "seconds and photos/s say little).",
        "",
        "| what | photos | CPU s per photo | wall s | photos/s | peak MiB of a process | growth MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, (took, photos) in measured.items():
        lines.append(
            f"| {what} | {photos:,} | {took['cpu'] / photos:.4f} | {took['wall']:.1f} | {photos / took['wall']:.1f} | "
            f"{took['peak']:.0f} | {took['growth']:+.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
