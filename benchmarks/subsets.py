"""Measure a model on the two small evaluation sets, and write every table that is quoted from them.

    python -m benchmarks.subsets --data DIR                  # tables and ablations
    python -m benchmarks.subsets --data DIR --sweeps         # and the sweeps: layers and heads, threshold, ...

DIR holds voc2012-val-subset.tar (162 of the 1,449 VOC 2012 val photos), coco-semantic-val-subset.tar (50 COCO val2017
photos with panoptic masks) and gpt4o-voc-names.json (the paper's GPT-4o answers). All of it is for evaluation: nothing
here may choose a checkpoint, a layer, a head, a threshold or any other setting that is then reported on it.

COCO-Object is counted from the panoptic masks: its 80 classes as they are, all else labelled is background, unlabelled
pixels count as background, too, as in the benchmark.
"""

import argparse
import platform
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from pnpovss.backbones.shared import share_encodings
from pnpovss.datasets import Dataset, open_dataset
from pnpovss.evaluation.report.markdown import markdown
from pnpovss.evaluation.report.page import write_report
from pnpovss.evaluation.report.plots import plot_heads, plot_variants
from pnpovss.evaluation.report.tables import settings_line
from pnpovss.evaluation.runs.ablation import ablation_markdown, ablation_variants
from pnpovss.evaluation.runs.engine import Progress
from pnpovss.evaluation.runs.evaluate import evaluate
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.sweeps import run_heads, sweep_variants, table_csv, variants_table
from pnpovss.evaluation.runs.variants import run_variants
from pnpovss.presence import make_presence
from pnpovss.segmenter import Segmenter

COMMAND = "python -m benchmarks.subsets --data DIR"
OWN = ["itm", "itc", "itm+itc+attention"]  # names by the model itself
SWEPT = 60  # photos of the sweeps over settings; heads take all, since one pass serves them
SWEEPS = {"threshold": "threshold", "dropout": "passes", "size": "image_size"}
THINGS = [
    *range(1, 12), *range(13, 26), 27, 28, *range(31, 45), *range(46, 66), 67, 70, *range(72, 83), *range(84, 91),
]  # fmt: skip  # COCO's category ids of its 80 objects


@dataclass(frozen=True)
class Job:
    """What is measured with what."""

    segmenter: Segmenter
    runs: Path
    out: Path
    limit: int | None

    def folder(self, name: str) -> Path:
        """Of a run; another checkpoint has another one."""
        revision = (self.segmenter.backbone.card.revision or "unknown")[:10]
        return self.runs / revision / (name if self.limit is None else f"{name}-{self.limit}")


def main() -> None:
    arguments = parse()
    unpacked = unpack(arguments.data, arguments.runs)
    segmenter = Segmenter.from_pretrained(arguments.model, device=arguments.device)
    segmenter = segmenter.replace(backbone=share_encodings(segmenter.backbone))
    job = Job(segmenter, arguments.runs, arguments.out, arguments.limit)
    gpt4o = f"file:{arguments.data / 'gpt4o-voc-names.json'}"
    plans = {
        "voc-subset": (open_dataset("voc2012", unpacked / "voc"), ["oracle", *OWN, gpt4o]),
        "coco-object-subset": (open_dataset("coco-object", unpacked / "object"), ["oracle", *OWN]),
        "coco-panoptic-subset": (open_dataset("coco-panoptic", unpacked / "coco"), ["oracle", *OWN]),
    }
    for name, (dataset, filters) in plans.items():
        if name.removesuffix("-subset") in arguments.only:
            measure(job, name, dataset, filters)
            if name != "coco-panoptic-subset":
                ablate(job, name, dataset)
    if arguments.sweeps:
        sweep(job, "voc-subset", plans["voc-subset"][0])


def measure(job: Job, name: str, dataset: Dataset, filters: Sequence[str]) -> None:
    """One run for each way to know the names; then the report."""
    folders, walls = [], []
    for spec in filters:
        folders.append(job.folder(f"{name}-{spec.split(':')[0]}"))
        presence = make_presence(spec, backbone=job.segmenter.backbone, config=job.segmenter.config)
        begin = time.perf_counter()
        evaluate(job.segmenter, dataset, presence, folders[-1], limit=job.limit, on_image=talk(folders[-1].name))
        walls.append(time.perf_counter() - begin)
    write_report(folders, job.folder(f"{name}-report"))  # with photos, so it stays out of the repository
    runs = [read_run(folder) for folder in folders]
    took = ", ".join(f"{spec.split(':')[0]} {wall:.0f} s" for spec, wall in zip(filters, walls, strict=True))
    text = markdown(runs, f"{dataset.space.key}, {runs[0].settings.subset}", COMMAND)
    write(job, f"{name}.md", f"{text}\n{machine()} Wall clock: {took}.\n")


def ablate(job: Job, name: str, dataset: Dataset) -> None:
    """Each step of the method left out, with oracle names."""
    folder = job.folder(f"{name}-ablation")
    variants = ablation_variants(job.segmenter.config)
    summary = run_variants(
        "ablation", job.segmenter, dataset, make_presence("oracle"), variants, folder,
        limit=job.limit, on_image=talk(folder.name),
    )  # fmt: skip
    run = read_run(folder)
    write(
        job,
        f"{name}-ablation.md",
        f"# What each step brings: {run.settings.dataset}, {run.settings.subset}\n\nCommand: `{COMMAND}`\n\n"
        f"{settings_line(run)}\n\n{ablation_markdown(summary)}\nIntervals: bootstrap over photos, 2,000 draws; changes "
        f"are paired. {machine()}\n",
    )


def sweep(job: Job, name: str, dataset: Dataset) -> None:
    """Layers and heads, threshold, Salience Dropout, image size; with oracle names, for analysis only."""
    lines = [
        f"# How the score depends on the settings: {dataset.space.key} subset, oracle names\n",
        f"Command: `{COMMAND} --sweeps`. Analysis only: no setting was or may be chosen by these tables.\n",
    ]
    folder = job.folder(f"{name}-sweep-heads")
    oracle = make_presence("oracle")
    summary = run_heads(job.segmenter, dataset, oracle, folder, limit=job.limit, on_image=talk(folder.name))
    title = f"{dataset.space.key}, {read_run(folder).settings.subset}, oracle names"
    plot_heads(summary["heads"], summary["correlations"], title, job.out / f"{name}-heads.png")
    write(job, f"{name}-heads.csv", table_csv(summary["heads"]))
    best = summary["heads"][0]
    own = next(row for row in summary["heads"] if f"{row['layer']}.{row['head']}" == summary["own"])
    correlations = ", ".join(f"{k} {v:+.2f}" for k, v in summary["correlations"].items() if v is not None)
    lines.append(
        f"Heads (one pass, no Salience Dropout, no CRF): the model's own, {summary['own']}, has mIoU "
        f"{100 * own['miou']:.1f}; the best, {best['layer']}.{best['head']}, {100 * best['miou']:.1f}; rank "
        f"correlation with mIoU over {len(summary['heads'])} heads: {correlations}. [csv]({name}-heads.csv), "
        f"![heads]({name}-heads.png)\n"
    )
    for axis, column in SWEEPS.items():
        folder = job.folder(f"{name}-sweep-{axis}")
        variants = sweep_variants(axis, job.segmenter.config, job.segmenter.backbone)  # pyright: ignore[reportArgumentType]
        run_variants(
            f"sweep {axis}", job.segmenter, dataset, oracle, variants, folder,
            limit=job.limit or SWEPT, on_image=talk(folder.name),
        )  # fmt: skip
        run = read_run(folder)
        title = f"{dataset.space.key}, {run.settings.subset}, oracle names"
        rows = variants_table(list(run.records.values()), run.settings.variants or {}, len(run.settings.classes))
        plot_variants(rows, column, title, job.out / f"{name}-{axis}.png")
        write(job, f"{name}-{axis}.csv", table_csv(rows))
        where = f"{run.settings.subset}, seed {run.settings.subset.seed}"
        lines.append(f"{axis} ({where}): [csv]({name}-{axis}.csv), ![{axis}]({name}-{axis}.png)\n")
    write(job, f"{name}-sweeps.md", "\n".join([*lines, machine()]) + "\n")


def unpack(data: Path, runs: Path) -> Path:
    """The photos and masks as folders; COCO-Object's masks are made from the panoptic ones."""
    folder = runs / "data"
    if not folder.exists():
        runs.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=runs) as beside:  # another process may begin at the same moment
            unpacked = Path(beside, "data")
            extract(data / "voc2012-val-subset.tar", unpacked / "voc")
            extract(data / "coco-semantic-val-subset.tar", unpacked / "coco")
            object_masks(unpacked / "coco", unpacked / "object" / "coco_stuff164k")
            try:
                unpacked.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    return folder


def extract(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")


def object_masks(panoptic: Path, stuff: Path) -> None:
    """Masks in the layout of COCO-Stuff: objects 0 to 79, 80 for any surroundings, 255 for unlabelled."""
    photos, masks = stuff / "images" / "val2017", stuff / "annotations" / "val2017"
    photos.mkdir(parents=True)
    masks.mkdir(parents=True)
    table = np.full(256, 80, np.uint8)
    table[THINGS] = range(80)
    table[0] = 255
    for photo in sorted((panoptic / "images").glob("*.jpg")):
        (photos / photo.name).write_bytes(photo.read_bytes())
        values = np.asarray(Image.open(panoptic / "annotations" / f"{photo.stem}.png"))
        Image.fromarray(table[values]).save(masks / f"{photo.stem}_labelTrainIds.png")


def machine() -> str:
    return f"{date.today()}, {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}."


def write(job: Job, name: str, text: str) -> None:
    job.out.mkdir(parents=True, exist_ok=True)
    (job.out / name).write_text(text)
    print(f"wrote {job.out / name}", flush=True)


def talk(name: str) -> Callable[[Progress], None]:
    """A line every twenty photos."""
    begin = time.perf_counter()

    def say(progress: Progress) -> None:
        if progress.done % 20 == 0 or progress.done == progress.of:
            pace = (time.perf_counter() - begin) / progress.new
            score = 100 * progress.confusion.miou
            print(f"{name}: {progress.done} of {progress.of}, mIoU {score:.1f}, {pace:.2f} s a photo", flush=True)

    return say


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the two archives and the names")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--runs", type=Path, default=Path("runs/subsets"), help="run folders, resumed when there")
    sets = ["voc", "coco-object", "coco-panoptic"]
    parser.add_argument("--only", nargs="+", choices=sets, default=sets)
    parser.add_argument("--sweeps", action="store_true", help="also sweep layers and heads, threshold, dropout, size")
    parser.add_argument("--limit", type=int, help="only so many photos of each set, for a trial")
    return parser.parse_args()


if __name__ == "__main__":
    main()
