"""What a tuning costs: photos a minute collected and scored, and how long one of BLIP-large's size would take.

    python -m benchmarks.tuning_cost --scratch DIR --out benchmarks/results/tuning_cost.md

Measured are the CPU seconds of one thread: collecting all heads from a photo of two names, and a look of each judge.
Models other than `mini` have random weights at published sizes (`benchmarks.real_sizes`), which the work does not
depend on. Whole tunings are predicted from that, by the plan of rounds that `tune` follows. The scratch folder keeps
the weights; make them first (`--only-weights`), for a short measurement.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.real_sizes import SIZES
from pnpovss import Segmenter
from pnpovss.heads import all_heads
from pnpovss.images import load_image
from pnpovss.tuning.cells import THRESHOLDS
from pnpovss.tuning.collect import collect
from pnpovss.tuning.halving import rounds
from pnpovss.tuning.judges import Judge, make_judge
from pnpovss.tuning.photos import TuningPhotos

PHOTOS = Path(__file__).parent.parent / "examples"
PAIRS = [(PHOTOS / "dog.jpg", ["dog", "plant"]), (PHOTOS / "cat.jpg", ["cat", "potted plant"])]
TUNED = ("mini", "blip-large")
JUDGES = ("itc of mini", "itc of blip-large", "clip-base", "clip-large")
PREPROCESSING = '{"size": %d, "resample": 3, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}'
SIDES = {"clip-base": 224, "clip-large": 336}
LOOKS = 8  # of each judge
COUNT, NAMES, HEADS = 50, 1.5, 144  # what is predicted


@dataclass(frozen=True)
class Cost:
    """Of collecting.

    Attributes:
        seconds: of CPU, a photo of two names.
        heads: that were read.
        kilobytes: on the disk, a photo.
    """

    seconds: float
    heads: int
    kilobytes: float


def weights(name: str, scratch: Path) -> str:
    """The model's folder, made if it is not there; `mini` is bundled."""
    if name == "mini":
        return name
    folder = scratch / name
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        SIZES[name].save(folder)
        if name in SIDES:
            (folder / "preprocessor_config.json").write_text(PREPROCESSING % SIDES[name])
    return str(folder)


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds that something takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def collecting(segmenter: Segmenter) -> Cost:
    """All heads of two photos, after one that is not counted."""
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        collect(segmenter, TuningPhotos.of(PAIRS[:1]), Path(first))
        photos = TuningPhotos.of(PAIRS)
        seconds = cpu(lambda: collect(segmenter, photos, Path(second)))
        size = sum(path.stat().st_size for path in (Path(second) / "maps").iterdir())
    heads = len(all_heads(segmenter.backbone.card, segmenter.config))
    return Cost(seconds / len(PAIRS), heads, size / len(PAIRS) / 1000)


def looking(judge: Judge) -> tuple[int, float]:
    """The side of the judge's input [px], and CPU seconds a look, several at once, after one time not counted."""
    pixels = judge.pixels(load_image(PHOTOS / "dog.jpg"))
    names = TuningPhotos.of(PAIRS).vocabulary
    masks = torch.rand(LOOKS, 1, *pixels.shape[1:], generator=torch.Generator().manual_seed(0)) > 0.5
    judge.logits(pixels[None] * masks, names)
    return pixels.shape[-1], cpu(lambda: judge.logits(pixels[None] * masks, names)) / LOOKS


def looks(photos: int, heads: int, *, halving: bool) -> float:
    """Most looks that heads x thresholds take: each cell and name is seen with its mask and without."""
    cells = heads * len(THRESHOLDS)
    plan = rounds(photos, cells) if halving else rounds(photos, cells, first=photos)
    seen, total = 0, 0.0
    for each in plan:
        total += (each.until - seen) * each.cells * NAMES * 2
        seen = each.until
    return total


def main() -> None:
    """Make the weights, measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only-weights", action="store_true", help="make them, and measure nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folders = {name: weights(name, options.scratch) for name in ("mini", "blip-large", "clip-base", "clip-large")}
    if options.only_weights:
        return
    collected: dict[str, Cost] = {}
    judged: dict[str, tuple[int, float]] = {}
    for name in TUNED:
        segmenter = Segmenter.from_pretrained(folders[name], settings={"presence": None})
        collected[name] = collecting(segmenter)
        judge = make_judge("itc", segmenter.backbone, segmenter.config)
        assert judge is not None
        judged[f"itc of {name}"] = looking(judge)
        if name == TUNED[-1]:
            for other in SIDES:
                judge = make_judge(f"clip:{folders[other]}", segmenter.backbone, segmenter.config)
                assert judge is not None
                judged[other] = looking(judge)
    options.out.write_text("\n".join(page(collected, judged)))
    print(options.out)


def page(collected: dict[str, Cost], judged: dict[str, tuple[int, float]]) -> list[str]:
    """What was measured, and what follows from it."""
    mini, blip = collected["mini"], collected["blip-large"]
    own = looks(40, mini.heads, halving=True)
    lines = [
        "# What tuning costs",
        "",
        "`python -m benchmarks.tuning_cost --scratch DIR --out benchmarks/results/tuning_cost.md`,"
        f" {date.today().isoformat()},",
        f"torch {torch.__version__}, CPU seconds of one thread.",
        "",
        "## Measured",
        "",
        "| collected from | heads | CPU s a photo of two names | photos a minute | kB a photo on the disk |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {each.heads} | {each.seconds:.2f} | {60 / each.seconds:.0f} | {each.kilobytes:.0f} |"
            for name, each in collected.items()
        ),
        "",
        f"| judge | input [px] | CPU s a look | photos a minute, {mini.heads} heads | photos a minute, {HEADS} heads |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {side} | {seconds:.3f} | {_minute(seconds, mini.heads)} | {_minute(seconds, HEADS)} |"
            for name, (side, seconds) in judged.items()
        ),
        "",
        f"Photos a minute: scored through all heads at {len(THRESHOLDS)} thresholds, {NAMES:g} names a photo, at most",
        "(equal masks are looked at once); halving shows most cells to the first 16 photos only.",
        "",
        "## Predicted, not run",
        "",
        f"{HEADS} heads x {len(THRESHOLDS)} thresholds x {COUNT} photos of {NAMES:g} names, a model of BLIP-large's",
        f"size: at most {looks(COUNT, HEADS, halving=True):,.0f} looks with halving,"
        f" {looks(COUNT, HEADS, halving=False):,.0f} with `--exhaustive`. On two cores:",
        "",
        "| judge | collecting [min] | judging with halving [h] | `--exhaustive` [h] |",
        "|---|---|---|---|",
    ]
    for name, (_, seconds) in judged.items():
        if name != "itc of mini":
            hours = [seconds * looks(COUNT, HEADS, halving=halving) / 2 / 3600 for halving in (True, False)]
            lines.append(f"| {name} | {blip.seconds * COUNT / 2 / 60:.1f} | {hours[0]:.1f} | {hours[1]:.1f} |")
    whole = (mini.seconds * 40 + own * judged["itc of mini"][1]) / 2 / 60
    return [
        *lines,
        "",
        f"`mini` on 40 such photos, judged by itself: at most {own:,.0f} looks, {whole:.1f} minutes.",
        "",
    ]


def _minute(seconds: float, heads: int) -> str:
    return f"{60 / (seconds * looks(1, heads, halving=False)):.2g}"


if __name__ == "__main__":
    main()
