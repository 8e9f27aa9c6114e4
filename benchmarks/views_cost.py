"""What looks at parts of a photo cost a model of real size: BLIP large with random weights, nothing downloaded.

    python -m benchmarks.views_cost --scratch DIR [--rounds 2] [--out benchmarks/results/views_cost.md]

Processor seconds of one thread, from the prepared photo to the maps of three names, Salience Dropout off; medians. What
weights hold does not matter to that. The last column is what one look costs, which shows whether a photo costs as many
looks as it is given.
"""

import argparse
import tempfile
from datetime import date
from pathlib import Path

import torch

from benchmarks.models import machine, median_seconds
from benchmarks.real_sizes import SIZES
from pnpovss import Segmenter
from pnpovss.backbones.base import Backbone
from pnpovss.config import PRESETS, Config, ViewSettings
from pnpovss.saliency.views import views_of

CORNERS = ViewSettings(mirror=False, tiles=(0.6,))
LOOKS: dict[str, ViewSettings | None] = {
    "the photo alone": None,
    "and four tiles of 0.6 (`default` of `mini`)": CORNERS,
    "every look of the preset `best`": PRESETS["best"].views,
}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for 1.8 GB of weights, for a while")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/views_cost.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        SIZES["blip-large"].save(Path(folder))
        segmenter = Segmenter.from_pretrained(folder, device="cpu", without=["presence", "dropout", "crf"])
        rows = [row(name, views, segmenter.backbone, options.rounds) for name, views in LOOKS.items()]
    lines = [
        "# What views cost BLIP large",
        "",
        f"`python -m benchmarks.views_cost --scratch DIR --rounds {options.rounds}`, {date.today()},",
        f"{machine()}. Processor seconds of one thread, 384 px, float32, random weights, three names.",
        "",
        "| looks | how many | a photo [s] | a look [s] |",
        "|---|---|---|---|",
        *rows,
    ]
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def row(name: str, views: ViewSettings | None, backbone: Backbone, rounds: int) -> str:
    """Measure one choice of looks."""
    config = Config.preset("default").without("presence", "dropout", "crf")
    segmenter = Segmenter(backbone, config.replace({"views": views and views.model_dump()}))
    looks, seconds = len(views_of(views)), median_seconds(segmenter, 3, rounds)
    return f"| {name} | {looks} | {seconds:.1f} | {seconds / looks:.2f} |"


if __name__ == "__main__":
    main()
