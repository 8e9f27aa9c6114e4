"""Size, loading time, time of one pass and of a whole photo of `mini`.

    OMP_NUM_THREADS=2 python -m benchmarks.mini_speed [--threads 2] [--out benchmarks/results/mini_speed.md]

Loading is timed in fresh processes (imports apart); a pass is image side and text side with the gradient, one 384 px
photo and a prompt of three names, in one process, after a first one. A whole photo is everything from the opened
picture to the label map, the names' own match (the step `presence`) included: the photos of `examples/` with their
names. Medians.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch
from PIL import Image

from pnpovss import Segmenter
from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.mini.backbone import BUNDLED, load_mini

EXAMPLES = Path(__file__).parents[1] / "examples"
SIDE = 384
PRESETS = ("default", "best")
_LOAD = """
import time
from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.mini.backbone import load_mini
start = time.perf_counter()
load_mini("mini", LoadOptions())
print(time.perf_counter() - start)
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mini_speed.md"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loads = [float(subprocess.check_output([sys.executable, "-c", _LOAD])) for _ in range(5)]
    backbone = load_mini("mini", LoadOptions())
    prompt = backbone.tokenize("A picture of cat sofa potted plant")
    pixels = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    image, text = [], []
    for _ in range(options.rounds + 1):
        start = time.perf_counter()
        features = backbone.encode_images(pixels)
        between = time.perf_counter()
        backbone.match(features, [[prompt]], Reading((backbone.card.recommended.layer,)))
        image.append(between - start)
        text.append(time.perf_counter() - between)
    photos = {preset: photo_times(preset, options.rounds) for preset in PRESETS}
    size = sum(file.stat().st_size for file in BUNDLED.iterdir() if file.is_file())
    lines = [
        f"# mini: size and speed, revision {backbone.card.revision}",
        "",
        f"`python -m benchmarks.mini_speed --threads {options.threads}`, {date.today()},",
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {options.threads} threads,",
        f"median of {options.rounds} (loading: of 5 processes).",
        "",
        "| | |",
        "|---|---|",
        f"| size on disk | {size / 1e6:.1f} MB |",
        f"| loading | {statistics.median(loads):.2f} s |",
        f"| one {SIDE} px pass, image side | {statistics.median(image[1:]):.3f} s |",
        f"| one {SIDE} px pass, text side with gradient | {statistics.median(text[1:]):.3f} s |",
        f"| one {SIDE} px pass | {statistics.median(a + b for a, b in zip(image[1:], text[1:], strict=True)):.3f} s |",
        *(f"| a photo, preset `{preset}` | {statistics.median(times):.2f} s |" for preset, times in photos.items()),
    ]
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def photo_times(preset: str, rounds: int) -> list[float]:
    """Seconds of each example photo, all steps, after a first one; `rounds` photos at least."""
    segmenter = Segmenter.from_pretrained("mini", device="cpu", preset=preset)
    asked = json.loads((EXAMPLES / "boxes.json").read_text())
    photos = [(Image.open(EXAMPLES / file).convert("RGB"), list(names)) for file, names in sorted(asked.items())]
    segmenter(*photos[0])
    times = []
    while len(times) < rounds:
        for image, names in photos:
            start = time.perf_counter()
            segmenter(image, names)
            times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
