"""What the forms of one large result cost: CPU seconds and peak memory of each, in a fresh process each.

    python -m benchmarks.results_speed [--width 4000] [--height 3000] [--out benchmarks/results/results_speed.md]

Three regions on a photo of noise in blocks; the least of three times, and the highest memory above that of the result.
Needs Linux.
"""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from pnpovss.config import Config, Settings
from pnpovss.hints.looks_like import looks_like
from pnpovss.names import parse_names
from pnpovss.results.heatmaps import HeatMaps
from pnpovss.results.provenance import Provenance
from pnpovss.results.segmentation import Segmentation

FORMS = ("check", "labels", "overlay", "heat", "record", "npz", "hints")
SETTINGS = Settings.model_validate({**Config().model_dump(), "layer": 0, "head": 0, "image_size": 320})
MADE_BY = Provenance("by hand", None, "default", SETTINGS, "by hand", (), "cpu", "float32", {})


def made(width: int, height: int) -> tuple[Segmentation, Image.Image]:
    """A result of three overlapping boxes, and its photo."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    labels = np.zeros((height, width), np.uint8)
    for label, (top, left, bottom, right) in enumerate(((1, 1, 7, 5), (5, 4, 9, 10), (0, 6, 3, 9)), start=1):
        labels[height * top // 10 : height * bottom // 10, width * left // 10 : width * right // 10] = label
    maps = np.random.default_rng(1).random((3, 20, 20), dtype=np.float32)
    result = Segmentation(
        labels=labels,
        scores=np.stack([labels == label for label in (1, 2, 3)]).astype(np.float32),
        background_score=(labels == 0).astype(np.float32),
        names=parse_names(["cat", "sofa", "potted plant"]),
        kept=(0, 1, 2),
        heatmaps=HeatMaps(maps, ("cat", "sofa", "plant"), maps),
        match=0.9,
        name_match=(0.9, 0.8, 0.7),
        provenance=MADE_BY,
    )
    return result, Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)


def cost(form: str, width: int, height: int) -> tuple[float, float]:
    """CPU seconds, and MiB above those that the result itself takes."""
    result, photo = made(width, height)
    work: dict[str, Callable[[], object]] = {
        "check": result.__post_init__,
        "labels": result.png_bytes,
        "overlay": lambda: result.overlay(photo),
        "heat": lambda: result.heat_picture(photo, "cat"),
        "record": result.to_dict,
        "npz": result.npz_bytes,
        "hints": lambda: looks_like(result),
    }
    _forget_peak()
    before = psutil.Process().memory_info().rss
    seconds = []
    for _ in range(3):
        start = time.process_time()
        work[form]()
        seconds.append(time.process_time() - start)
    return min(seconds), (_peak() - before) / 2**20


def _peak() -> int:
    """Bytes that this process took at most since `_forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # Linux's way


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/results_speed.md"))
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = [f"--width={options.width}", f"--height={options.height}"]
    if options.form:
        print(*cost(options.form, options.width, options.height))
        return
    command = [sys.executable, "-m", "benchmarks.results_speed", *size]
    lines = [
        f"# What a result of {options.width:,} x {options.height:,} pixels costs",
        "",
        f"`python -m benchmarks.results_speed {' '.join(size)}`, {date.today()}, {platform.machine()},",
        "three names; CPU seconds (the least of three) and peak memory beyond the result and its photo.",
        "",
        "| form | CPU seconds | MiB |",
        "|---|---|---|",
    ]
    for form in FORMS:
        seconds, memory = map(float, subprocess.check_output([*command, f"--form={form}"]).split())
        lines.append(f"| {form} | {seconds:.2f} | {memory:.0f} |")
    options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
