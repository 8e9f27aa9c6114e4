"""Which reward to trust: every reward and measure over all heads of a model, against boxes and against masks.

    python -m benchmarks.tuning --data DIR --scratch DIR --out FILE [--photos 48] [--side 160] [--analysis]

DIR holds voc2012-train-448.tar with voc2012-train-boxes.json (photos to choose on: boxes say how good a cell is), and
with --analysis, voc2012-val-subset.tar (evaluation photos: masks say how good a cell is, for the analysis table alone;
nothing is chosen there). The model judges itself, on photos of `side` pixels. What is found is kept in the scratch
folder: a benchmark that was stopped goes on there.

For each reward and measure: the rank correlation of its means with the quality of the cells; in how many bootstrap
draws of 20, 40 and all photos it picks the right head; and what the pick loses on average against the best cell, in
points. Quality is measured on all photos, without views, Salience Dropout and Dense CRF. Measures without a judge pick
a head, at the threshold 0.15. Also: the mean of the best heads, contrastive maps, and removal of sinks, by boxes.
"""

import argparse
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.boxes import WORDS, Judged, Thing, judge_photo, read_things, summary
from pnpovss import Segmenter
from pnpovss.backbones.shared import share_encodings
from pnpovss.datasets import open_dataset
from pnpovss.evaluation.measures.ranks import rank_correlation
from pnpovss.evaluation.runs.folder import make_folder
from pnpovss.files.journal import Journal, read_journal
from pnpovss.images import load_image
from pnpovss.refine.pipeline import refine
from pnpovss.tuning.cells import THRESHOLDS, Cell, cells_of
from pnpovss.tuning.certainty import means_of_draws
from pnpovss.tuning.collect import Collected, collect, one_look
from pnpovss.tuning.halving import rounds
from pnpovss.tuning.judges import OwnJudge
from pnpovss.tuning.labels import from_dataset
from pnpovss.tuning.photos import OnPhoto, TuningPhotos
from pnpovss.tuning.rewards import keep_delete
from pnpovss.tuning.scores import score
from pnpovss.tuning.truth import cell_counts

DRAWS = 1000
MEASURED_AT = 0.15  # threshold at which a head that a measure picks is read
FEW = 3  # photos whose cost is measured
MASKS = "By masks, on evaluation photos: analysis alone (mIoU, %)"
BOX_FILES = "voc2012-train-448.tar"

Table = Float[np.ndarray, "photo cell"]
Change = Callable[[Float[Tensor, "name gh gw"]], Float[Tensor, "name gh gw"]]


def report(what: str, done: int, of: int) -> None:
    """A line now and then."""
    if done == of or done % 8 == 0:
        print(f"{what} {done} of {of}", flush=True)


def train_photos(data: Path, scratch: Path, count: int) -> tuple[TuningPhotos, dict[str, list[Thing]]]:
    """Photos to choose on, with their boxes by key."""
    folder = scratch / "photos"
    if not folder.exists():
        with tarfile.open(data / BOX_FILES) as archive:
            archive.extractall(folder, filter="data")
    things = read_things(data)
    named = [
        (folder / name, [WORDS.get(thing.name, thing.name) for thing in own])
        for name, own in sorted(things.items())
        if own
    ]
    everything = TuningPhotos.of(named, names_from="VOC 2012 train, class names")
    return everything.drawn(count, 0), {str(folder / name): own for name, own in things.items()}


def val_photos(data: Path, scratch: Path, count: int) -> tuple[TuningPhotos, Path]:
    """Evaluation photos, for analysis alone, and the data set's folder."""
    root = scratch / "val"
    if not root.exists():
        with tarfile.open(data / "voc2012-val-subset.tar") as archive:
            archive.extractall(root, filter="data")
    dataset = open_dataset("voc2012", root)
    photos = TuningPhotos.joined(from_dataset(dataset), dataset.space.names, "masks, for analysis")
    return photos.drawn(count, 0), root


def tables(
    segmenter: Segmenter, photos: TuningPhotos, folder: Path, cells: Sequence[Cell], side: int, told: OnPhoto
) -> tuple[Collected, dict[str, Table]]:
    """Every reward of each cell, and every measure of each head, photo by photo."""
    make_folder(folder)
    collected = collect(segmenter, photos, folder, told)
    judge = OwnJudge(segmenter.backbone, segmenter.config, side=side)
    count = len(photos.photos)
    plan = rounds(count, len(cells), first=count)
    scores = score("scored", collected, photos, cells, judge, keep_delete, plan, on_photo=told)
    return collected, {**scores.rewards, **collected.measures()}


def box_quality(
    segmenter: Segmenter,
    collected: Collected,
    photos: TuningPhotos,
    things: Mapping[str, Sequence[Thing]],
    variants: Sequence[tuple[str, Cell, Change]],
    told: OnPhoto,
) -> dict[str, float]:
    """The box measure `bound` [%] of each variant: heads at a threshold, and what is done to their maps."""
    config = segmenter.config.without("crf")
    path = collected.folder / "boxes.jsonl"
    with Journal(path, keys=collected.keys) as journal:
        for i, photo in enumerate(photos.photos):
            if photo.key not in journal.records:
                image, heat = np.asarray(load_image(photo.image)), collected.heat(i)
                found = {}
                for name, cell, change in variants:
                    maps = change(heat[[collected.heads.index(head) for head in cell.heads]].mean(0))
                    labels = refine(maps, image, config.replace({"threshold": cell.threshold})).labels
                    judged = judge_photo(labels, maps.numpy(), things[photo.key])
                    found[name] = [
                        [j.name, j.area, j.hit, j.union, j.box_iou, j.inside, j.size, int(j.pointed)] for j in judged
                    ]
                journal.append({"key": photo.key, "variants": found})
            told("boxes", i + 1, len(collected.keys))
    records = read_journal(path, keys=collected.keys)
    return {
        name: summary([Judged(*row) for key in collected.keys for row in records[key]["variants"].get(name, [])])[
            "bound"
        ]
        for name, _, _ in variants
    }


def as_it_is(maps: Float[Tensor, "name gh gw"]) -> Float[Tensor, "name gh gw"]:
    """No change."""
    return maps


def contrastive(maps: Float[Tensor, "name gh gw"]) -> Float[Tensor, "name gh gw"]:
    """Each name's map less half of the greatest of the others', all stretched to 1; as it is with one name."""
    parts = maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)
    if len(maps) < 2:
        return parts
    others = torch.stack([parts[[j for j in range(len(parts)) if j != i]].amax(0) for i in range(len(parts))])
    return (parts - 0.5 * others).clamp(min=0)


def without_sinks(maps: Float[Tensor, "name gh gw"]) -> Float[Tensor, "name gh gw"]:
    """Each name's map less what all names have in common (the least of them), all stretched to 1."""
    parts = maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)
    return parts if len(maps) < 2 else (parts - parts.amin(0)).clamp(min=0)


def trust(
    values: Mapping[str, Table], quality: Sequence[float], cells: Sequence[Cell], heads: Sequence[tuple[int, int]]
) -> list[str]:
    """A row for each reward and measure: correlation, how often the right head is picked, points lost."""
    best = int(np.argmax(quality))
    rows = []
    for name, table in values.items():
        if table.shape[1] == len(cells):
            own, of = cells, list(quality)
        else:
            own = tuple(Cell((head,), MEASURED_AT) for head in heads)
            of = [quality[cells.index(cell)] for cell in own]
        parts = [name, f"{rank_correlation(table.mean(0).tolist(), of):+.2f}", str(own[int(table.mean(0).argmax())])]
        for count in (20, 40, len(table)):
            picks = means_of_draws(table, count, DRAWS, seed=0).argmax(1)
            right = np.mean([own[pick].heads == cells[best].heads for pick in picks])
            lost = quality[best] - float(np.mean([of[pick] for pick in picks]))
            parts.append(f"{100 * right:.0f}%, {lost:.1f}")
        rows.append(f"| {' | '.join(parts)} |")
    return rows


def section(
    title: str,
    values: Mapping[str, Table],
    quality: Sequence[float],
    cells: Sequence[Cell],
    heads: Sequence[tuple[int, int]],
) -> list[str]:
    """A table with its head."""
    best = int(np.argmax(quality))
    count = len(next(iter(values.values())))
    return [
        f"## {title}",
        "",
        f"{count} photos; the best cell is {cells[best]} with {quality[best]:.1f}, the worst has {min(quality):.1f}.",
        "",
        f"| reward or measure | correlation | picks | of 20 photos: right head, points lost | of 40 | of {count} |",
        "|---|---|---|---|---|---|",
        *trust(values, quality, cells, heads),
        "",
    ]


def timed(segmenter: Segmenter, photos: TuningPhotos, scratch: Path, cells: Sequence[Cell], side: int) -> list[str]:
    """How long a few photos take, collected and scored anew."""
    folder = scratch / "cost"
    few = TuningPhotos(photos.photos[:FEW], photos.vocabulary, photos.names_from)
    if folder.exists():
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    make_folder(folder)
    begin, cpu = time.perf_counter(), time.process_time()
    collected = collect(segmenter, few, folder)
    middle, cpu_middle = time.perf_counter(), time.process_time()
    judge = OwnJudge(segmenter.backbone, segmenter.config, side=side)
    scores = score("scored", collected, few, cells, judge, keep_delete, rounds(FEW, len(cells), first=FEW))
    end, cpu_end = time.perf_counter(), time.process_time()
    looks = sum(len(scores.similarities(i).rows) for i in range(FEW))
    return [
        "## Cost",
        "",
        f"{FEW} photos, {len(cells)} cells, CPU seconds of one core. Collected in {cpu_middle - cpu:.1f} s, "
        f"{60 * FEW / (cpu_middle - cpu):.0f} photos a minute ({middle - begin:.1f} s by the clock). Scored "
        f"in {cpu_end - cpu_middle:.1f} s, {60 * FEW / (cpu_end - cpu_middle):.1f} photos a minute "
        f"({end - middle:.1f} s by the clock): {looks} looks of {side} px, "
        f"{1000 * (cpu_end - cpu_middle) / looks:.0f} CPU ms a look.",
        "",
    ]


def main() -> None:
    """Parse, measure what is not measured yet, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--analysis", action="store_true", help="also against masks, on evaluation photos")
    options = parser.parse_args()
    segmenter = one_look(Segmenter.from_pretrained(options.model))
    segmenter = segmenter.replace(backbone=share_encodings(segmenter.backbone))
    card = segmenter.backbone.card
    layers = card.heads
    heads = tuple((layer, head) for layer in sorted(layers) for head in range(layers[layer]))
    cells = cells_of([(head,) for head in heads], THRESHOLDS)

    photos, things = train_photos(options.data, options.scratch, options.photos)
    train = options.scratch / "train"
    collected, values = tables(segmenter, photos, train, cells, options.side, report)
    means = values["keep-delete"].mean(0)
    order = list(dict.fromkeys(cells[i].heads[0] for i in np.argsort(-means)))
    first = cells[int(means.argmax())]
    variants = [(str(cell), cell, as_it_is) for cell in cells]
    extra: list[tuple[str, Cell, Change]] = [
        *((f"mean of the best {k}", Cell(tuple(order[:k]), first.threshold), as_it_is) for k in (2, 3, 4)),
        ("contrastive maps", first, contrastive),
        ("without sinks", first, without_sinks),
    ]
    quality = box_quality(segmenter, collected, photos, things, [*variants, *extra], report)
    boxes = [quality[str(cell)] for cell in cells]
    options_rows = [f"| {name} ({cell}) | {quality[name]:.1f} |" for name, cell, _ in extra]

    masks = []
    if options.analysis:
        val, root = val_photos(options.data, options.scratch, options.photos)
        seen, val_values = tables(segmenter, val, options.scratch / "analysis", cells, options.side, report)
        counts = cell_counts(segmenter, seen, val, cells, open_dataset("voc2012", root), report)
        miou = [100 * float(each.miou(np.ones((1, len(each))))[0]) for each in counts]
        masks = section(MASKS, val_values, miou, cells, heads)

    lines = [
        "# Which reward to trust",
        "",
        f"`{card.name}` ({card.revision}), {len(heads)} heads x {len(THRESHOLDS)} thresholds, its own contrastive "
        f"heads as the judge at {options.side} px, {date.today().isoformat()}.",
        "`python -m benchmarks.tuning --data DIR --scratch DIR --out benchmarks/results/tuning.md"
        f" --photos {options.photos} --side {options.side}{' --analysis' * options.analysis}`",
        "",
        "The model was trained through one of these heads and judges itself: trust the order, not the sizes. Each",
        "entry of the last three columns: the share of 1,000 bootstrap draws in which the right head is picked, and",
        "the points that the pick loses on average against the best cell.",
        "",
        *section("By boxes, on photos outside the evaluation sets (bound, %)", values, boxes, cells, heads),
        *masks,
        "## Options of the method, by boxes (bound, %)",
        "",
        "| option | bound |",
        "|---|---|",
        f"| the chosen cell ({first}) | {quality[str(first)]:.1f} |",
        *options_rows,
        "",
        *timed(segmenter, photos, options.scratch, cells, options.side),
    ]
    options.out.write_text("\n".join(lines))
    print(options.out)


if __name__ == "__main__":
    main()
