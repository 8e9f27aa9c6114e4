"""How long `mini` takes for one photo with every step on, and where the time goes.

    python benchmarks/segment_speed.py [--threads 2] [--without STEP] [--set NAME=VALUE] [--out FILE]

A photo of 500 x 375 pixels and three names, all of them looked for, settings of the `default` preset but for those
given, after loading and after one photo that is not counted (it compiles the Dense CRF where its cache is empty). Wall
seconds, medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from pnpovss.cli.settings import parse_settings
from pnpovss.images import load_image
from pnpovss.inputs import prepare
from pnpovss.refine.photo_crf import PhotoCrf
from pnpovss.refine.pipeline import photo_beside
from pnpovss.refine.scores import score_maps
from pnpovss.segmenter import Segmenter

NAMES = ["cat", "dog", "sofa"]
PHOTO = Path(__file__).parent.parent / "examples" / "cat.jpg"
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--without", nargs="*", action="extend", default=[], help="steps to turn off")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="replace a setting")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/segment_speed.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    segmenter = Segmenter.from_pretrained(
        "mini", device="cpu", without=["presence", *arguments.without], settings=parse_settings(arguments.set)
    )
    photo = load_image(PHOTO).resize((500, 375))
    segmenter(photo, NAMES)
    rounds = [one_round(segmenter, photo) for _ in range(arguments.rounds)]
    medians = {step: statistics.median(each[step] for each in rounds) for step in rounds[0]}
    rows = "".join(f"| {step} | {seconds:.3f} |\n" for step, seconds in medians.items())
    given = "".join(f" --without {step}" for step in arguments.without) + "".join(f" --set {s}" for s in arguments.set)
    command = f"`python benchmarks/segment_speed.py --threads {arguments.threads}{given}`"
    arguments.out.write_text(
        f"# One photo with mini\n\n{command}, {date.today()}, torch {torch.__version__}, {arguments.rounds} rounds, "
        f"medians\n\n500 x 375 pixels, {len(NAMES)} names, preset `default`, all names looked for, after loading.\n\n"
        f"| step | wall seconds |\n|---|---|\n{rows}"
    )
    print(arguments.out.read_text())


def one_round(segmenter: Segmenter, photo: Image.Image) -> dict[str, float]:
    """The whole call, then its parts one by one."""
    config, took = segmenter.config, {}

    def timed(step: str, call: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = call()
        took[step] = time.perf_counter() - start
        return result

    timed("**everything, in one call**", lambda: segmenter(photo, NAMES))
    inputs = timed(
        "photo and names to tensors",
        lambda: prepare(photo, NAMES, segmenter.backbone.card, config),
    )
    [explained] = timed("model, GradCAM, Salience Dropout", lambda: segmenter.explain([inputs]))
    pixels = np.asarray(inputs.image)
    scores = timed("threshold, resize, background, blur", lambda: score_maps(explained.names, pixels.shape[:2], config))
    crf, tensor = config.crf, photo_beside(explained.names, pixels)
    assert crf is not None
    timed("Dense CRF", lambda: PhotoCrf(tensor, crf)(scores))
    return took


if __name__ == "__main__":
    main()
