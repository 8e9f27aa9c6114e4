"""The recipe of the bundled model, step by step: `python -m training all --data DIR --cache DIR --out DIR`.

Every step goes on where it was interrupted; delete its files in the cache to do it anew. `keep` writes a stage's
weights as one file, from which another machine goes on with `--begun FILE`, without the stages before it.
"""

import argparse
import json
import logging
from pathlib import Path

import torch

from pnpovss.backbones.base import Recommended
from training import stages
from training.batches import READ_HEAD, READ_LAYER, FitConfig
from training.handover import keep, take_up
from training.made_with import OtherCacheError
from training.workspace import Workspace

STEPS = ("prepare", "features", "train", "distill", "views", "export")
KEEP = "keep"
MINI = Path("src/pnpovss/backbones/mini")
RECOMMENDED = '{"dropout": null, "threshold": 0.1, "views.mirror": false, "views.tiles": [0.6], "presence.above": 0.2}'


def main() -> None:
    """Parse the command line and run the steps asked for."""
    parser = _parser()
    options = parser.parse_args()
    if options.step == KEEP and options.out is None:
        parser.error(f"{KEEP} needs --out: the folder for STAGE.safetensors")
    try:
        _run(options)
    except OtherCacheError as error:
        raise SystemExit(str(error)) from error


def _run(options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[options.precision]
    work = Workspace(
        options.data,
        options.cache,
        options.wordnet,
        options.side,
        options.device,
        options.share,
        options.alike,
        options.near,
        dtype,
    )
    common = {
        "seed": options.seed,
        "device": options.device,
        "bf16": options.precision == "bfloat16",
        "photos": options.batch,
    }
    wanted = STEPS if options.step == "all" else (options.step,)
    done = -1
    if options.begun is not None:
        if options.begun.stem not in stages.STAGES:
            raise SystemExit(f"--begun {options.begun}: a file is called after its stage, {', '.join(stages.STAGES)}")
        done = stages.STAGES.index(options.begun.stem)
        take_up(options.begun, work.cache / options.begun.stem)
    if "prepare" in wanted:
        stages.prepare(work)
    if "features" in wanted:
        stages.features(work, options.workers)
    if "train" in wanted and done < 0:
        stages.start(work, FitConfig(steps=options.steps[0], **common))
    if "distill" in wanted:
        for round_ in (each for each in options.rounds if each > done):
            rates = {"rate_new": 5e-4, "rate_old": 8e-5, "rate_trunk": options.rate_trunk if round_ == 3 else 0.0}
            config = FitConfig(steps=options.steps[round_], **rates, **common)
            stages.distill(work, config, round_, options.mapped, options.workers)
    if "views" in wanted:
        rates = {"rate_new": 2e-4, "rate_old": 4e-5, "rate_trunk": options.rate_trunk, "keep": 0.2}
        for round_ in (each for each in options.generations if each > done):
            teacher = options.teacher if round_ == options.generations[0] else None
            if teacher is None:
                folder, stage = work.cache / f"teacher-{round_}", stages.newest(work, before=round_)
                teacher = stages.write(work, folder, stage, recommended(options), options.keep)
            config = FitConfig(steps=options.steps[round_], extent=0.5, warmup=30, hide_things=True, **rates, **common)
            stages.views(work, config, round_, teacher, options.mapped, options.workers)
    if "export" in wanted:
        stage = options.stage or stages.newest(work)
        stages.write(work, options.out or MINI, stage, recommended(options), options.keep)
    if KEEP in wanted:
        stage = options.stage or stages.newest(work)
        keep(stages.finished(work, stage, options.keep), options.out / f"{stage}.safetensors")


def recommended(options: argparse.Namespace) -> Recommended:
    """What an exported model tells its users to set."""
    settings = json.loads(options.settings)
    source = "chosen by boxes, without masks: see MODEL_CARD.md of mini"
    return Recommended(READ_LAYER, READ_HEAD, options.image_size, settings, source)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("step", choices=(*STEPS, KEEP, "all"))
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the photo archives, that of `training.collect` included"
    )
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder for features, labels and checkpoints (about 18 GB)"
    )
    parser.add_argument(
        "--out", type=Path, help=f"folder of the exported model, by default {MINI}; of what `keep` writes, none"
    )
    parser.add_argument(
        "--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder with WordNet's data.noun"
    )
    parser.add_argument("--side", type=int, default=320, help="pixels photos are resized to")
    parser.add_argument(
        "--near", type=int, default=528, help="the same of sharp photos, where parts are seen from near"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the small photos that take part")
    parser.add_argument("--alike", type=int, default=200, help="sharp photos with just the same labels that take part")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is twice as fast on processors that compute in it, and twenty times slower on others",
    )
    parser.add_argument("--threads", type=int, default=2, help="of the training loop")
    parser.add_argument("--workers", type=int, default=2, help="single-threaded processes for features and pseudo-maps")
    parser.add_argument("--batch", type=int, default=16, help="photos a step")
    parser.add_argument(
        "--steps", type=int, nargs=7, default=(1500, 400, 900, 2400, 1000, 1100, 900), help="of each stage"
    )
    parser.add_argument("--rounds", type=int, nargs="+", default=(1, 2), help="of `distill`; 3 trains the trunk, too")
    parser.add_argument(
        "--generations",
        type=int,
        nargs="+",
        choices=tuple(stages.LOOKS),
        default=(4, 5),
        help="rounds of `views`: 4 with a teacher of few looks, 5 and 6 with one of many",
    )
    parser.add_argument(
        "--rate-trunk",
        type=float,
        default=5e-5,
        help="learning rate of the trunk's last blocks, in round 3 and `views`",
    )
    parser.add_argument("--mapped", type=int, default=3000, help="photos that get pseudo-maps in each round")
    parser.add_argument(
        "--teacher",
        type=Path,
        help="of the first round of `views`: a model's folder to go on from; else the last one's",
    )
    parser.add_argument("--keep", type=float, default=0.3, help="share of the teacher's weights in what is written")
    parser.add_argument("--stage", choices=stages.STAGES, help="of `export` and `keep`, by default the last")
    parser.add_argument(
        "--begun", type=Path, help="a stage's weights as `keep` wrote them, STAGE.safetensors: go on behind that stage"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image-size", type=int, default=320, help="recommended side at inference")
    parser.add_argument("--settings", default=RECOMMENDED, help="recommended settings, as JSON by dotted name")
    return parser


if __name__ == "__main__":
    main()
