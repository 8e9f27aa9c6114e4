"""How the cost of a photo grows with the number of names, and what reading several photos at once brings on a CPU.

    python -m benchmarks.names_and_batches [--out benchmarks/results/names_and_batches.md]

`mini` on one thread, a photo of 500 x 375 pixels, preset `default` without the step `presence`, so that all names are
looked for. Processor seconds per photo, medians.

What it shows: with many names it is the Dense CRF that costs, whose filters run over every label; the model reads
eighty names for half as much again as one. Photos read together cost a CPU no less each, and more where their features
no longer fit its cache: the convolutions of `mini` keep a core busy with a single photo.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pnpovss.datasets.names import bundled_names
from pnpovss.images import load_image
from pnpovss.inputs import prepare
from pnpovss.refine.pipeline import refine
from pnpovss.segmenter import Segmenter

PHOTO = Path(__file__).parent.parent / "examples" / "cat.jpg"
NAMES = (1, 5, 20, 80)
BATCHES = (1, 2, 8)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/names_and_batches.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    segmenter = Segmenter.from_pretrained("mini", device="cpu", without=["presence"])
    photo, names = load_image(PHOTO).resize((500, 375)), bundled_names("coco_object")
    card, config = segmenter.backbone.card, segmenter.config
    lines = [
        "# What names and batches cost",
        "",
        f"`python -m benchmarks.names_and_batches`, {date.today()}, mini, revision {card.revision},",
        f"torch {torch.__version__}, one thread, 500 x 375 pixels, processor seconds per photo,",
        f"medians of {arguments.rounds}.",
        "",
        "| names | model, GradCAM | threshold to labels | of it Dense CRF | whole photo |",
        "|---|---|---|---|---|",
    ]
    for count in NAMES:
        inputs = prepare(photo, names[:count], card, config)
        [explained] = segmenter.explain([inputs])
        pixels = np.asarray(inputs.image)
        seen = clock(arguments.rounds, partial(segmenter.explain, [inputs]))
        refined, blurred = (
            clock(arguments.rounds, partial(refine, explained.names, pixels, each))
            for each in (config, config.without("crf"))
        )
        lines.append(f"| {count} | {seen:.2f} | {refined:.2f} | {refined - blurred:.2f} | {seen + refined:.2f} |")
    lines += ["", "| photos read at once | model, GradCAM, three names |", "|---|---|"]
    inputs = prepare(photo, names[:3], card, config)
    for size in BATCHES:
        seen = clock(arguments.rounds, partial(segmenter.explain, [inputs] * size)) / size
        lines.append(f"| {size} | {seen:.2f} |")
    arguments.out.write_text("\n".join(lines) + "\n")
    print(arguments.out.read_text())


def clock(rounds: int, call: Callable[[], object]) -> float:
    """Median of the processor seconds that a call takes, after one that is not counted."""
    call()
    took = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    return statistics.median(took)


if __name__ == "__main__":
    main()
