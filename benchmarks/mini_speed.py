"""Size, loading time and time of one pass of `mini`.

    python benchmarks/mini_speed.py [--threads 2] [--out benchmarks/results/mini_speed.md]

Loading is timed in fresh processes (imports apart); a pass is image side and text side with the gradient, one 384 px
photo and a prompt of three names, in one process, after a first one. Medians.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch

from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.mini.backbone import BUNDLED, load_mini

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
    pixels = torch.rand(1, 3, 384, 384) * 2 - 1
    image, text = [], []
    for _ in range(options.rounds + 1):
        start = time.perf_counter()
        features = backbone.encode_images(pixels)
        between = time.perf_counter()
        backbone.match(features, [[prompt]], Reading((backbone.card.recommended.layer,)))
        image.append(between - start)
        text.append(time.perf_counter() - between)
    size = sum(file.stat().st_size for file in BUNDLED.iterdir() if file.is_file())
    lines = [
        f"# mini: size and speed, revision {backbone.card.revision}",
        "",
        f"`python benchmarks/mini_speed.py --threads {options.threads}`, {date.today()},",
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {options.threads} threads,",
        f"median of {options.rounds} (loading: of 5 processes).",
        "",
        "| | |",
        "|---|---|",
        f"| size on disk | {size / 1e6:.1f} MB |",
        f"| loading | {statistics.median(loads):.2f} s |",
        f"| one 384 px pass, image side | {statistics.median(image[1:]):.3f} s |",
        f"| one 384 px pass, text side with gradient | {statistics.median(text[1:]):.3f} s |",
        f"| one 384 px pass | {statistics.median(a + b for a, b in zip(image[1:], text[1:], strict=True)):.3f} s |",
    ]
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
