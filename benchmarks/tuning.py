"""Which reward to trust: every reward and measure over all heads of a model, against boxes and against masks.

    python -m benchmarks.tuning --data DIR --scratch DIR --out FILE [--photos 60] [--side 160] [--analysis 40]

DIR holds voc2012-train-448.tar with voc2012-train-boxes.json (photos to choose on: boxes say how good a cell is), and
with --analysis, voc2012-val-subset.tar (evaluation photos, so many: masks say how good a cell is, for the analysis
table alone; nothing is chosen there). The model judges itself, on photos of `side` pixels. What is found is kept in the
scratch folder: a benchmark that was stopped goes on there.

For each reward and measure: the rank correlation of its means with the quality of the cells; in how many bootstrap
draws of 20, 40 and all photos it picks the right head; and what the pick loses on average against the best cell, in
points. Quality is measured on all photos, without views, Salience Dropout and Dense CRF. Measures without a judge pick
a head, at the threshold 0.15. Also: the mean of the best heads, contrastive maps, and removal of sinks, by boxes, each
at its best threshold. `benchmarks.tuning_gain` measures what tuning gains, `benchmarks.tuning_cost` what it costs.
"""

import argparse
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.boxes import Thing, judge_photo, read_things
from pnpovss import Segmenter
from pnpovss.datasets import open_dataset
from pnpovss.evaluation.measures.bootstrap import ImageCounts, difference
from pnpovss.evaluation.measures.ranks import rank_correlation
from pnpovss.evaluation.runs.folder import make_folder
from pnpovss.files.journal import Journal, read_journal
from pnpovss.heads import all_heads
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
SIZES = (20, 40)  # photos of a draw; and all
MEASURED_AT = 0.15  # threshold at which a head that a measure picks is read
MASKS = "By masks, on evaluation photos: analysis alone (mIoU, %)"
BOX_FILES = "voc2012-train-448.tar"
OPTIONS = ("mean of the best 2", "mean of the best 3", "mean of the best 4", "contrastive maps", "without sinks")

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
    named = [(folder / name, [thing.word for thing in own]) for name, own in sorted(things.items()) if own]
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


def box_counts(
    segmenter: Segmenter,
    collected: Collected,
    photos: TuningPhotos,
    things: Mapping[str, Sequence[Thing]],
    variants: Sequence[tuple[str, Cell, Change]],
    told: OnPhoto,
) -> dict[str, ImageCounts]:
    """What the box measure `bound` needs of each variant: heads at a threshold, and what is done to their maps."""
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
                    found[name] = [[each.name, each.hit, each.union] for each in judged]
                journal.append({"key": photo.key, "variants": found})
            told("boxes", i + 1, len(collected.keys))
    records = read_journal(path, keys=collected.keys)
    classes = sorted({thing.name for own in things.values() for thing in own})
    counts = {}
    for variant, _, _ in variants:
        hits, union = np.zeros((2, len(collected.keys), len(classes)))
        for row, key in enumerate(collected.keys):
            for name, hit, whole in records[key]["variants"][variant]:
                hits[row, classes.index(name)] += hit
                union[row, classes.index(name)] += whole
        counts[variant] = ImageCounts(hits, union)
    return counts


def points(counts: ImageCounts) -> float:
    """The mean over classes, in percent."""
    return 100 * float(counts.miou(np.ones((1, len(counts))))[0])


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


def sizes(count: int) -> list[int]:
    """Photos of a draw, with all of them last."""
    return [*(size for size in SIZES if size < count), count]


@dataclass(frozen=True)
class Trust:
    """How far a reward or measure is to be trusted.

    Attributes:
        name: of it.
        correlation: of its means with the quality of the cells.
        pick: the cell that it chooses on all photos.
        right: share of the draws in which it picks the right head, for each number of photos.
        lost: mean points lost, for each.
    """

    name: str
    correlation: float
    pick: Cell
    right: tuple[float, ...]
    lost: tuple[float, ...]

    @property
    def row(self) -> str:
        """Of the table."""
        drawn = [f"{right:.0%}, {lost:.1f}" for right, lost in zip(self.right, self.lost, strict=True)]
        return f"| {' | '.join([self.name, f'{self.correlation:+.2f}', str(self.pick), *drawn])} |"


def trust(
    values: Mapping[str, Table], quality: Sequence[float], cells: Sequence[Cell], heads: Sequence[tuple[int, int]]
) -> list[Trust]:
    """Of each reward and measure, the one that loses least from few photos first."""
    best = int(np.argmax(quality))
    found = []
    for name, table in values.items():
        if table.shape[1] == len(cells):
            own, of = cells, list(quality)
        else:
            own = tuple(Cell((head,), MEASURED_AT) for head in heads)
            of = [quality[cells.index(cell)] for cell in own]
        draws = [means_of_draws(table, count, DRAWS, seed=0).argmax(1) for count in sizes(len(table))]
        means = table.mean(0)
        found.append(
            Trust(
                name,
                rank_correlation(means.tolist(), of),
                own[int(means.argmax())],
                tuple(float(np.mean([own[pick].heads == cells[best].heads for pick in picks])) for picks in draws),
                tuple(quality[best] - float(np.mean([of[pick] for pick in picks])) for picks in draws),
            )
        )
    return sorted(found, key=lambda each: each.lost[0])


def in_words(found: Sequence[Trust]) -> str:
    """Which to trust, and which not."""
    first, last = found[0], found[-1]
    good = [each.name for each in found if each.right[0] >= 0.9]
    return (
        f"From {SIZES[0]} photos, `{first.name}` loses least ({first.lost[0]:.1f} points) and `{last.name}` most "
        f"({last.lost[0]:.1f}). The right head is found in nine draws of ten or more by "
        f"{', '.join(f'`{name}`' for name in good) or 'none'}."
    )


def section(
    title: str,
    values: Mapping[str, Table],
    quality: Sequence[float],
    cells: Sequence[Cell],
    heads: Sequence[tuple[int, int]],
) -> list[str]:
    """A table with its head."""
    best, found = int(np.argmax(quality)), trust(values, quality, cells, heads)
    count = len(next(iter(values.values())))
    return [
        f"## {title}",
        "",
        f"{count} photos; the best cell is {cells[best]} with {quality[best]:.1f}, the worst has {min(quality):.1f}.",
        in_words(found),
        "",
        f"| reward or measure | correlation | picks | {' | '.join(f'of {size} photos' for size in sizes(count))} |",
        "|---|---|---" + "|---" * len(sizes(count)) + "|",
        *(each.row for each in found),
        "",
    ]


def options_section(counts: Mapping[str, ImageCounts], chosen: Cell) -> list[str]:
    """What is done beyond one head, each at its best threshold, against the chosen head at its best."""
    kinds: dict[str, list[str]] = {}
    for name in counts:
        kinds.setdefault(name.rsplit(" at ", 1)[0], []).append(name)
    best = {kind: max(names, key=lambda name: points(counts[name])) for kind, names in kinds.items()}
    plain = best[chosen.heads_in_words]
    rows = []
    for kind in (chosen.heads_in_words, *OPTIONS):
        own = counts[best[kind]]
        change = "" if best[kind] == plain else _change(own, counts[plain])
        rows.append(f"| {kind} | {best[kind].rsplit(' ', 1)[1]} | {points(own):.1f} | {change} |")
    return [
        "## Options of the method, by boxes (bound, %)",
        "",
        "Each at its best threshold of these; the change has a 95% interval from a bootstrap over photos, and flatters",
        "every option alike, since its threshold was chosen by the same boxes.",
        "",
        "| heads | threshold | bound | change |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _change(own: ImageCounts, plain: ImageCounts) -> str:
    change = difference(own, plain)
    return f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def by_boxes(segmenter: Segmenter, cells: Sequence[Cell], options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The sections of the rewards and of the options, on photos outside the evaluation sets."""
    photos, things = train_photos(options.data, options.scratch, options.photos)
    collected, values = tables(segmenter, photos, options.scratch / "train", cells, options.side, report)
    means = values["keep-delete"].mean(0)
    order = list(dict.fromkeys(cells[i].heads[0] for i in np.argsort(-means)))
    first = cells[int(means.argmax())]
    heads = (*(tuple(order[:count]) for count in (2, 3, 4)), first.heads, first.heads)
    change = (as_it_is, as_it_is, as_it_is, contrastive, without_sinks)
    changed = [
        (f"{name} at {level:g}", Cell(which, level), how)
        for level in THRESHOLDS
        for name, which, how in zip(OPTIONS, heads, change, strict=True)
    ]
    plain = [(str(cell), cell, as_it_is) for cell in cells]
    counts = box_counts(segmenter, collected, photos, things, [*plain, *changed], report)
    title = "By boxes, on photos outside the evaluation sets (bound, %)"
    rewards = section(title, values, [points(counts[str(cell)]) for cell in cells], cells, collected.heads)
    return rewards, options_section(counts, first)


def by_masks(segmenter: Segmenter, cells: Sequence[Cell], options: argparse.Namespace) -> list[str]:
    """The same on evaluation photos, where nothing is chosen."""
    photos, root = val_photos(options.data, options.scratch, options.analysis)
    collected, values = tables(segmenter, photos, options.scratch / "analysis", cells, options.side, report)
    counts = cell_counts(segmenter, collected, photos, cells, open_dataset("voc2012", root), report)
    return section(MASKS, values, [points(each) for each in counts], cells, collected.heads)


def main() -> None:
    """Parse, measure what is not measured yet, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--analysis", type=int, default=0, help="so many evaluation photos: also against masks")
    options = parser.parse_args()
    segmenter = one_look(Segmenter.from_pretrained(options.model))
    card = segmenter.backbone.card
    heads = all_heads(card, segmenter.config)
    cells = cells_of([(head,) for head in heads], THRESHOLDS)
    rewards, others = by_boxes(segmenter, cells, options)
    masks = by_masks(segmenter, cells, options) if options.analysis else []
    told = f"--photos {options.photos} --side {options.side}"
    told += f" --analysis {options.analysis}" if options.analysis else ""
    lines = [
        "# Which reward to trust",
        "",
        f"`{card.name}` ({card.revision}), {len(heads)} heads x {len(THRESHOLDS)} thresholds, its own contrastive "
        f"heads as the judge at {options.side} px, {date.today().isoformat()}.",
        f"`python -m benchmarks.tuning --data DIR --scratch DIR --out benchmarks/results/tuning.md {told}`",
        "",
        "The model was trained through one of these heads and judges itself: trust the order, not the sizes. Of so",
        "many photos: the share of 1,000 bootstrap draws in which the right head is picked, and the points that the",
        "pick loses on average against the best cell. Measures without a judge are given their threshold, "
        f"{MEASURED_AT};",
        "rewards choose it.",
        "",
        *rewards,
        *masks,
        *others,
    ]
    options.out.write_text("\n".join(lines))
    print(options.out)


if __name__ == "__main__":
    main()
