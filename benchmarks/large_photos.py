"""What large photos cost, and what a photo costs where processes share the cores.

    python benchmarks/large_photos.py [--before SRC] [--out benchmarks/results/large_photos.md]

    python benchmarks/large_photos.py --agree PHOTOS.tar [--limit 8] [--out benchmarks/results/large_photos_agree.md]

Each measurement is a process of its own, told to use one thread (OMP_NUM_THREADS=1), that loads `mini`, segments one
small photo (which compiles what has to be compiled), and then what is measured, from file to label map: CPU seconds
and the process's peak memory, everything included. SRC is the `src` folder of another version, to stand beside this
one. Large photos are an example enlarged, with three names, and a PNG of one colour, with one name.

`--agree` enlarges examples and photos of a tar in VOC's layout (to 4,000 and 2,600 pixels on the longer side, as they
are and with noise of 3 levels as sensors have), and compares the labels of the Dense CRF at full size with those of
`crf.max_pixels`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent / "examples"
RESULTS = Path(__file__).parent / "results"
NAMES = ["cat", "sofa", "bottle"]
# (title, width, height, file, names, settings)
CASES: dict[str, tuple[int, int, str, list[str], dict[str, Any]]] = {
    "500 x 375, 3 names": (500, 375, "cat.jpg", NAMES, {}),
    "1,280 x 960, 3 names": (1280, 960, "cat.jpg", NAMES, {}),
    "4,000 x 3,000, 3 names": (4000, 3000, "cat.jpg", NAMES, {}),
    "7,000 x 7,000, flat, 1 name": (7000, 7000, "", NAMES[:1], {}),
    "7,000 x 7,000, flat, 1 name, without CRF": (7000, 7000, "", NAMES[:1], {"crf": None}),
}
PHOTOS = 8  # that each of two processes segments


def measure(case: str, folder: Path) -> dict[str, float]:
    """CPU and wall seconds, and peak memory [MiB], of one photo; in this process."""
    from pnpovss import Segmenter

    width, height, _, names, settings = CASES[case]
    segmenter = Segmenter.from_pretrained("mini", device="cpu", settings=settings, local_files_only=True)
    segmenter(EXAMPLES / "cat.jpg", NAMES)
    repeats = PHOTOS if width == 500 else 1
    start, used = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        segmenter(folder / f"{width}x{height}.png", names)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"cpu": cpu / repeats, "wall": wall / repeats, "peak": int(peak.split()[1]) / 1024}


def start(case: str, folder: Path, source: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}
    command = [sys.executable, __file__, "--one", case, "--photos", str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a measurement failed with exit code {process.returncode}")
    return json.loads(output.splitlines()[-1])


def make_photos(folder: Path) -> None:
    from PIL import Image

    for width, height, file, _, _ in CASES.values():
        photo = Image.open(EXAMPLES / file).convert("RGB") if file else Image.new("RGB", (8, 8), (90, 120, 60))
        photo.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{width}x{height}.png", compress_level=1)


def table(versions: dict[str, Path], folder: Path, cases: list[str]) -> list[str]:
    rows = ["| photo | version | CPU seconds | wall seconds | peak memory, MiB |", "|---|---|---|---|---|"]
    for case in cases:
        for version, source in versions.items():
            found = finish(start(case, folder, source))
            rows.append(f"| {case} | {version} | {found['cpu']:.2f} | {found['wall']:.2f} | {found['peak']:.0f} |")
            print(rows[-1], flush=True)
    return rows


def contention(versions: dict[str, Path], folder: Path) -> list[str]:
    rows = ["| version | CPU seconds per photo, of each process |", "|---|---|"]
    for version, source in versions.items():
        both = [start("500 x 375, 3 names", folder, source) for _ in range(2)]
        seconds = [finish(process)["cpu"] for process in both]
        rows.append(f"| {version} | {' and '.join(f'{s:.2f}' for s in seconds)}, mean {statistics.mean(seconds):.2f} |")
        print(rows[-1], flush=True)
    return rows


def agree(tar: Path, limit: int, out: Path) -> None:
    """How alike labels are with the Dense CRF at full size and reduced."""
    import numpy as np
    import torch
    from crf import photos
    from PIL import Image

    from pnpovss import Segmenter
    from pnpovss.datasets.names import bundled_names
    from pnpovss.inputs import prepare
    from pnpovss.refine.pipeline import refine

    torch.set_num_threads(1)
    segmenter, classes = (
        Segmenter.from_pretrained("mini", device="cpu", local_files_only=True),
        bundled_names("voc2012"),
    )
    chosen = [
        (name, Image.open(EXAMPLES / f"{name}.jpg").convert("RGB"), NAMES) for name in ("cat", "coffee", "rocket")
    ]
    voc = list(photos(tar))
    for stem, pixels, truth in voc[:: -(-len(voc) // limit)]:
        assert truth is not None
        present = [classes[i - 1] for i in np.unique(truth) if 0 < i <= len(classes)]
        chosen.append((stem, Image.fromarray(pixels), present))
    rows, shares = [], []
    for number, (name, photo, names) in enumerate(chosen):
        side, noise = (4000 if number < 2 else 2600), 3 * (number % 2)
        scale = side / max(photo.size)
        enlarged = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
        pixels = np.asarray(enlarged) + np.random.default_rng(0).normal(0, noise, (enlarged.height, enlarged.width, 3))
        pixels = pixels.round().clip(0, 255).astype(np.uint8)
        [seen] = segmenter.explain([prepare(Image.fromarray(pixels), names, segmenter.backbone.card, segmenter.config)])
        whole = refine(seen.names, pixels, segmenter.config.replace({"crf.max_pixels": None})).labels
        share = float((refine(seen.names, pixels, segmenter.config).labels == whole).mean())
        shares.append(share)
        rows.append(f"| {name} | {enlarged.width} x {enlarged.height} | {noise} | {len(names)} | {100 * share:.2f}% |")
        print(rows[-1], flush=True)
    lines = [
        "# Dense CRF of large photos: reduced against full size",
        "",
        f"`python benchmarks/large_photos.py --agree {tar.name} --limit {limit}`, {date.today()}. Maps of `mini`,",
        "preset `default`; VOC photos with the names that they hold. The limit was chosen on examples, not on VOC.",
        "",
        "| photo | enlarged to | noise, levels | names | pixels with the same label |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"Least {100 * min(shares):.2f}%, mean {100 * statistics.mean(shares):.2f}%.",
    ]
    out.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(1, len(CASES) + 1)))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--agree", type=Path)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--one", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.photos)))
        return
    if options.agree:
        agree(options.agree, options.limit, options.out or RESULTS / "large_photos_agree.md")
        return
    versions = {"before": options.before} if options.before else {}
    versions["now"] = Path(__file__).parent.parent / "src"
    load = os.getloadavg()[0]
    asked = ["SRC" if "/" in word else word for word in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as name:
        make_photos(Path(name))
        shared = contention(versions, Path(name))
        large = table(versions, Path(name), [list(CASES)[number - 1] for number in options.cases])
    lines = [
        "# Large photos, and photos under contention",
        "",
        f"`python benchmarks/large_photos.py {' '.join(asked)}`, {date.today()}, {os.cpu_count()} cores, load average "
        f"{load:.1f} at the start: CPU seconds",
        "carry the contention for caches, wall seconds mean little. One thread per process; loading the model is not",
        "counted, reading the photo is. Peak memory is the whole process's, with some 420 MiB of model and libraries.",
        "",
        f"## Two processes on the cores, {PHOTOS} photos each, 500 x 375, 3 names",
        "",
        *shared,
        "",
        "## One photo",
        "",
        *large,
    ]
    (options.out or RESULTS / "large_photos.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
