"""How well does each presence filter say which names are in a photo?

    python benchmarks/presence.py voc2012 --root VOCdevkit/VOC2012 --model mini \
        --filter itm --filter itc --filter file:gpt4o-voc-names.json --out benchmarks/results/presence_voc2012.md

Every filter looks at every photo once and decides over the whole vocabulary; the truth is what the mask holds.
Precision and recall are of all decisions together; AP is the mean over the names of the average precision of the
scores, which no rule for keeping names changes. Nothing here is tuned on these photos.
"""

import argparse
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pnpovss.datasets import Dataset, known_datasets, open_dataset
from pnpovss.presence import Photo, PresenceFilter, PresenceQuality, make_presence, parse_presence
from pnpovss.segmenter import Segmenter


def measure(
    presence: PresenceFilter, dataset: Dataset, truths: Sequence[Sequence[int]]
) -> tuple[PresenceQuality, float]:
    """Quality over the data set, and seconds a photo after the first (which also reads the vocabulary)."""
    quality, seconds = PresenceQuality(), []
    for sample, truth in zip(dataset, truths, strict=True):
        start = time.perf_counter()
        decided = presence.decide(Photo(sample.image, sample.key, truth), dataset.space.names)
        seconds.append(time.perf_counter() - start)
        quality.add(decided, truth)
    return quality, sorted(seconds[1:])[len(seconds[1:]) // 2]


def table(rows: Sequence[tuple[str, PresenceQuality, float]]) -> list[str]:
    lines = [
        "| filter | precision | recall | F1 | AP | names kept a photo | median time a photo [ms] |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, quality, seconds in rows:
        p, r = quality.precision, quality.recall
        f1 = 2 * p * r / (p + r) if p + r else 0.0
        cells = [100 * p, 100 * r, 100 * f1, 100 * quality.mean_average_precision, quality.mean_kept]
        lines.append(f"| `{key}` | {' | '.join(f'{cell:.1f}' for cell in cells)} | {1000 * seconds:.0f} |")
    return lines


def hardest(quality: PresenceQuality, dataset: Dataset, count: int = 5) -> str:
    found = [
        (ap, str(name)) for ap, name in zip(quality.average_precisions, dataset.space.names, strict=True) if ap == ap
    ]
    return ", ".join(f"{name} {100 * ap:.0f}" for ap, name in sorted(found)[:count])


def document(
    arguments: argparse.Namespace, dataset: Dataset, rows: Sequence[tuple[str, PresenceQuality, float]], model: str
) -> str:
    scope = f"a subset of {len(dataset)} of {dataset.full} photos" if dataset.is_subset else f"{len(dataset)} photos"
    lines = [
        f"# Which names are there? {arguments.dataset}",
        "",
        f"`python {shlex.join(sys.argv)}`",
        "",
        f"{date.today()}. {known_datasets()[arguments.dataset]}; **{scope}**, {len(dataset.space.names)} names, "
        f"{rows[0][1].mean_there:.2f} of them there a photo ({dataset.space.protocol} protocol). {model}. "
        f"{platform.machine()}, other work on the machine, so times are rough.",
        "",
        "Precision and recall are of all decisions together, AP is the mean over the names that occur [%]. The rules",
        "are the filters' own defaults or as given; none was chosen on these photos.",
        "",
        *table(rows),
        "",
        "Hardest names by AP:",
        "",
        *(f"- `{key}`: {hardest(quality, dataset)}" for key, quality, _ in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=list(known_datasets()))
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--filter", action="append", required=True, dest="filters")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.dataset, arguments.root)
    truths = [dataset.present(sample) for sample in dataset]
    asking = any(parse_presence(text).spec.asks_model for text in arguments.filters)
    segmenter = Segmenter.from_pretrained(arguments.model) if asking else None
    rows = []
    for text in arguments.filters:
        backbone, config = (segmenter.backbone, segmenter.config) if segmenter else (None, None)
        presence = make_presence(text, backbone=backbone, config=config)
        rows.append((presence.key, *measure(presence, dataset, truths)))
        print("\n".join(table(rows[-1:])[-1:]), presence.report(), flush=True)
    revision = segmenter.backbone.card.revision if segmenter else None
    asked = f"Model {arguments.model}, revision {revision}" if segmenter else "No model was asked"
    text = document(arguments, dataset, rows, asked)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
