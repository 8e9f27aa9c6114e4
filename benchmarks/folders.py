"""What a folder of photos costs: a naive loop, one worker, two; bookkeeping alone; a rerun that skips all.

    python -m benchmarks.folders naive one two again --photos FOLDER --scratch DIR --count 2000 --without views
    python -m benchmarks.folders start naive one two --photos FOLDER --scratch DIR --count 100
    python -m benchmarks.folders books books-again --scratch DIR --count 100000
    python -m benchmarks.folders parts

Each way runs in a process of its own, with one thread per process, one after the other; the ways may be measured by
several calls. What is measured is kept in results/folders.json, and results/folders.md is written anew from it.

FOLDER holds JPEG files. They are copied into nested folders in which every folder has the same file names. Told are
CPU seconds of all processes of a way, wall seconds from start to end, start-up included, the greatest memory of any of
its processes (RSS, which counts what processes share in each, and USS, which leaves that out), and how much the RSS of
a process grew from the second fifth of its life to the last, the greatest of those that lived for half of the run.
Others' cores is what the machine did meanwhile for anybody else. Bookkeeping is the job with a segmenter that costs
nothing and photos of 8 x 8 pixels. Parts are those of one photo, by `segment_speed.py` in processor seconds.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

import psutil

from benchmarks.before_after import AS_BEFORE, ROOT, call, numbers_in

RESULTS = Path(__file__).parent / "results"
NAMES = "person, dog, grass, water"
PER_FOLDER = 20
QUIET = 0.15  # cores that others may take, the measuring process among them
LONG = 60  # seconds, below which the growth of a process is that of its start
PROGRAM = [sys.executable, "-c", "from pnpovss.cli.main import run; run()"]

NAIVE = """
import sys
from pathlib import Path
from pnpovss import Segmenter
folder, out, names, *without = sys.argv[1:]
segmenter = Segmenter.from_pretrained("mini", without=without)
for path in sorted(Path(folder).rglob("*.jpg")):
    result = segmenter(path, names.split(", "), name_match=True)
    stem = str(path.relative_to(folder).with_suffix("")).replace("/", "-")
    result.to_png().save(f"{out}/{stem}.png")
    result.overlay(path).save(f"{out}/{stem}.overlay.png")
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

WAYS = {
    "start": "start-up: `segment` of a photo that is not there",
    "naive": "naive loop over `Segmenter`",
    "one": "`segment`",
    "two": "`segment --workers 2`",
    "again": "the same again: all skipped",
    "books": "bookkeeping alone",
    "books-again": "bookkeeping again: all skipped",
}
SETTINGS = {
    "four passes of Salience Dropout, no views": AS_BEFORE,
    "preset `default`, `--without views`": ["--without", "views"],
    "preset `default` (five views)": [],
}


@dataclass(frozen=True)
class Measured:
    """One way, measured once; seconds, MiB, cores."""

    way: str
    photos: int
    without: list[str]
    cpu: float
    wall: float
    rss: float
    uss: float
    growth: float
    others: float
    day: str

    @property
    def key(self) -> str:
        """The same for the same thing, measured again."""
        return f"{self.way} {self.photos} {','.join(self.without)}"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="+", choices=[*WAYS, "parts", "page"])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--without", nargs="*", action="extend", default=[], help="steps to turn off")
    given = parser.parse_args()
    kept = RESULTS / "folders.json"
    known = json.loads(kept.read_text()) if kept.exists() else {"ways": [], "parts": {}}
    rows = {row.key: row for row in (Measured(**each) for each in known["ways"])}
    for way in given.ways:
        if way == "parts":
            known["parts"] = {"day": str(date.today()), **{what: parts(options) for what, options in SETTINGS.items()}}
        elif way in WAYS:
            scratch = given.scratch or parser.error("name a folder for photos and results with --scratch")
            command = prepared(way, given.photos, scratch, given.count, given.without)
            row = measure(way, command, given.count, given.without)
            print(row, file=sys.stderr, flush=True)
            rows[row.key] = row
        known["ways"] = [asdict(row) for row in rows.values()]
        kept.write_text(json.dumps(known, indent=1) + "\n")
    (RESULTS / "folders.md").write_text(page(list(rows.values()), known["parts"]))


def parts(options: list[str]) -> dict[str, float]:
    """Processor seconds of the steps of one photo, on one thread."""
    with tempfile.TemporaryDirectory() as scratch:
        return numbers_in(call(ROOT, "segment_speed", "--rounds", "7", "--out", f"{scratch}/table.md", *options))


def prepared(way: str, photos: Path | None, scratch: Path, count: int, without: list[str]) -> list[object]:
    """The command of a way, with its photos in place and its output folder empty, unless it goes on with another's."""
    books, label = way.startswith("books"), "-".join([str(count), *without])
    source = scratch / f"{'tiny' if books else 'photos'}-{count}"
    if not source.exists():
        tiny(source, count) if books else nested(source, photos, count)
    out = scratch / f"{way.removesuffix('again').rstrip('-') or 'two'}-{label}"
    if not way.endswith("again"):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
    off = ["--without", ",".join(without)] if without else []
    segment = [*PROGRAM, "segment", source, "-r", "--names", NAMES, "--out", out, *off]
    calls: dict[str, list[object]] = {
        "start": [*PROGRAM, "segment", source / "none.jpg", "--names", "cat"],
        "naive": [sys.executable, "-c", NAIVE, source, out, NAMES, *without],
        "one": segment,
        "books": [sys.executable, "-c", BOOKKEEPING, source, out, NAMES],
    }
    return calls.get(way.removesuffix("-again"), [*segment, "--workers", 2])


def nested(folder: Path, photos: Path | None, count: int) -> None:
    """Copies in folders of folders, with the same names in each."""
    if photos is None:
        sys.exit("name the photos with --photos")
    sources = sorted(photos.rglob("*.jpg"))[:count]
    if len(sources) < count:
        sys.exit(f"{photos} holds {len(sources)} photos; expected {count}")
    for i, source in enumerate(sources):
        place = folder / f"{i // PER_FOLDER // 10}" / f"{i // PER_FOLDER % 10}" / f"{i % PER_FOLDER}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def tiny(folder: Path, count: int) -> None:
    """Photos of 8 x 8 pixels, all different."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(count):
        place = folder / f"{i // 100}" / f"{i % 100}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(place)


def measure(way: str, command: list[object], photos: int, without: list[str]) -> Measured:
    """Wall and CPU seconds of a process and its children, and what they hold in memory."""
    machine, before, begin = busy(), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    held: dict[int, list[tuple[int, int]]] = {}
    watcher = threading.Thread(target=watch, args=(process, held))
    watcher.start()
    _, said = process.communicate()
    watcher.join()
    if process.returncode and way != "start":
        sys.exit(f"{way} failed: {said}")
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sizes = [size for process in held.values() for size in process]
    longest = max(map(len, held.values()))
    return Measured(
        way=way,
        photos=photos,
        without=without,
        cpu=cpu,
        wall=wall,
        rss=max(rss for rss, _ in sizes) / 2**20,
        uss=max(uss for _, uss in sizes) / 2**20,
        growth=max(grown([rss for rss, _ in life]) for life in held.values() if len(life) > longest / 2) / 2**20,
        others=(busy() - machine - cpu) / wall,
        day=str(date.today()),
    )


def busy() -> float:
    """Seconds that all cores together have worked since the machine started."""
    told = psutil.cpu_times()
    return sum(told) - told.idle - told.iowait - told.guest - told.guest_nice  # guests count as users, too


def watch(process: "subprocess.Popen[str]", held: dict[int, list[tuple[int, int]]]) -> None:
    """Note the RSS and USS of each process, once a second; the first of a short life at once."""
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            for each in (parent, *parent.children()):
                told = each.memory_full_info()
                held.setdefault(each.pid, []).append((told.rss, told.uss))
        except psutil.Error:
            pass
        time.sleep(1)


def grown(sizes: list[int]) -> float:
    """From the second fifth of a life to the last: the first is start-up."""
    fifth = max(1, len(sizes) // 5)
    return mean(sizes[-fifth:]) - mean(sizes[fifth : 2 * fifth] or sizes)


def page(rows: list[Measured], parts: dict[str, Any]) -> str:
    """All that was measured, as Markdown."""
    lines = [
        "# Folders of photos",
        "",
        "`python -m benchmarks.folders`, whose first lines say what is measured and how; the ways of one table on the",
        'same photos, one after the other, each alone on the machine as far as the column "others\' cores" says so.',
        f"Photos of Flickr8k at 224 x 224 pixels, names {NAMES}, `mini`, preset `default`, one thread per process,",
        f"{os.cpu_count()} cores.",
    ]
    start = next((row.wall for row in rows if row.way == "start"), 0.0)
    groups: dict[tuple[int, str], list[Measured]] = {}
    for row in sorted(rows, key=lambda row: (row.way.startswith("books"), -row.photos, list(WAYS).index(row.way))):
        groups.setdefault((row.photos, ", ".join(row.without)), []).append(row)
    for (photos, off), group in groups.items():
        books = group[0].way.startswith("books")
        what = "tiny photos, a model that costs nothing" if books else "photos" + (f", --without {off}" if off else "")
        lines += ["", f"## {photos:,} {what}", "", *table(group), "", *ratios({row.way: row for row in group}, start)]
    if parts:
        lines += parts_table({**parts})
    return "\n".join(lines).rstrip() + "\n"


WHERE_IT_GOES = """
The image side is nearly all of it, 0.1 s per look, two thirds of that in the convolutions of the trunk: one look stays
under 0.4 s, four under Salience Dropout or five views do not. Tried on 2026-11-26, in processor seconds of one look
(0.098) and of five (0.552): five images one after the other instead of together, 0.429 (taken, on one thread; on two it
was slower beside other work); convolutions of 1 x 1 as matrix products, 0.106; by oneDNN, which torch takes for them on
several threads alone, 0.085 (left: there is no public call for it); label maps by comparison instead of torch's argmax,
0.003 for 0.019 (taken; labels are equal).
"""


def parts_table(parts: dict[str, Any]) -> list[str]:
    """Where the time of one photo goes."""
    day, settings = parts.pop("day"), list(parts)
    lines = [
        "",
        "## Where the time of a photo goes",
        "",
        f"`python -m benchmarks.folders parts`, {day}: processor seconds of one thread, a photo of 500 x 375 pixels,",
        "three names, all of them looked for; medians of 7.",
        "",
        f"| step | {' | '.join(settings)} |",
        "|---" * (len(settings) + 1) + "|",
    ]
    lines += [
        f"| {step} | {' | '.join(f'{parts[each][step]:.3f}' for each in settings)} |" for step in parts[settings[0]]
    ]
    return [*lines, *WHERE_IT_GOES.split("\n")]


def table(group: list[Measured]) -> list[str]:
    """A line per way."""
    lines = [
        "| what | CPU s per photo | wall s | photos/s | RSS MiB | USS MiB | growth MiB | others' cores | day |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in group:
        each = [f"{row.cpu / row.photos:.4f}", f"{row.wall:.1f}", f"{row.photos / row.wall:.2f}"]
        if row.way == "start":
            each = ["", f"{row.wall:.1f}", ""]
        grew = f"{row.growth:+.0f}" if row.wall > LONG else ""
        cells = [WAYS[row.way], *each, f"{row.rss:.0f}", f"{row.uss:.0f}", grew, f"{row.others:.2f}", row.day]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def ratios(ways: dict[str, Measured], start: float) -> list[str]:
    """What follows from the lines of a table; start-up, in seconds, is left out of how fast they are."""
    lines = []
    if disturbed := [row for row in ways.values() if row.others > QUIET]:
        most = max(row.others for row in disturbed)
        lines.append(f"- Others took up to {most:.2f} cores: the wall seconds say little here, the CPU seconds hold.")
    for fast, slow in (("two", "one"), ("one", "naive"), ("two", "naive")):
        if fast in ways and slow in ways and not disturbed:
            times = (ways[slow].wall - start) / (ways[fast].wall - start)
            lines.append(f"- {WAYS[fast]} beside {WAYS[slow]}: {times:.2f} times as fast, start-up apart.")
    if "two" in ways:
        each = ways["two"].cpu / ways["two"].photos, ways["two"].wall / ways["two"].photos
        hours, days = each[0] * 1e6 / 3600, each[1] * 1e6 / 86400
        wall = "" if disturbed else f"; on these two cores {days:.1f} days"
        lines.append(f"- A million such photos: {hours:,.0f} core-hours{wall}.")
    return lines


if __name__ == "__main__":
    main()
