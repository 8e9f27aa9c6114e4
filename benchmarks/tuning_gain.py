"""What tuning without pixel labels gains: `mini` as if nobody had tuned it, after `tune`, and as it is recommended.

    python -m benchmarks.tuning_gain --data DIR --scratch DIR --out FILE [--photos 32] [--search]

DIR holds what `benchmarks.tuning` and `benchmarks.subsets` want. Settings are chosen on photos of voc2012-train-448.tar
by the names of their classes alone: no box, no mask. They are measured on both evaluation subsets, with oracle names
and Dense CRF, where nothing is chosen. What is finished is kept in the scratch folder: a benchmark that was stopped
goes on there.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.subsets import talk, unpack
from benchmarks.tuning import report, train_photos
from pnpovss import Segmenter, tune
from pnpovss.backbones.parts.tuned import deep
from pnpovss.backbones.shared import share_encodings
from pnpovss.config import Config, Settings
from pnpovss.datasets import Dataset, open_dataset
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.variants import compare_variants, run_variants
from pnpovss.files.json import to_json
from pnpovss.presence import make_presence
from pnpovss.presets import Tuned
from pnpovss.tuning.photos import TuningPhotos

SETS = {"voc2012": ("voc", "VOC 2012, 162 photos"), "coco-object": ("object", "COCO objects, 50 photos")}
UNTUNED, OWN, RECOMMENDED = "untuned", "recommended, without views", "recommended"
LAYERS = 6  # of the text side of mini; it can be read at two of them
TRIALS = 12
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "`tune`": (UNTUNED, {}),
    "`tune --judge none`": (UNTUNED, {"judge": "none"}),
}
"""Where each tuning starts from, and what it is told; by what it is called in the table."""
WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    f"`tune`, then `--search threshold,blur,dropout --trials {TRIALS}`": (
        "`tune`",
        {"search": ["threshold", "blur", "dropout"], "trials": TRIALS},
    ),
}
"""With --search."""


@dataclass(frozen=True)
class Variant:
    """Settings to be measured.

    Attributes:
        config: complete.
        tuned: how they were chosen; None where `tune` did not.
    """

    config: Settings
    tuned: Tuned | None = None


def untuned(recommended: Segmenter) -> Segmenter:
    """The model without what its checkpoint recommends: the package's defaults, and the usual guess of a head."""
    config = Config.preset("default", {"layer": deep(LAYERS), "head": 0}).without("presence")
    return recommended.replace(config=config.resolve(recommended.backbone.card))


def variants(
    recommended: Segmenter, photos: TuningPhotos, scratch: Path, ways: Mapping[str, tuple[str, dict[str, Any]]]
) -> dict[str, Variant]:
    """All settings, chosen where they have to be."""
    own = recommended.replace(config=recommended.config.without("presence"))
    found = {UNTUNED: Variant(untuned(recommended).config)}
    for number, (name, (start, told)) in enumerate(ways.items()):
        segmenter = own.replace(config=found[start].config)
        print(name, flush=True)
        tuned = tune(segmenter, photos, scratch / f"tuned{number}", on_photo=report, **told)
        found[name] = Variant(segmenter.config.replace(tuned.settings).resolve(own.backbone.card), tuned)
    return {**found, OWN: Variant(own.config.without("views")), RECOMMENDED: Variant(own.config)}  # type: ignore[arg-type]


def measure(recommended: Segmenter, found: Mapping[str, Variant], dataset: Dataset, folder: Path) -> dict[str, str]:
    """The columns of each variant: mIoU, and its change against the first and against the last."""
    configs = {name: each.config for name, each in found.items()}
    oracle = make_presence("oracle")
    run_variants("tuning", recommended, dataset, oracle, configs, folder, on_image=talk(folder.name))
    run = read_run(folder)
    records, classes = list(run.records.values()), len(run.settings.classes)
    names = list(configs)
    first = compare_variants(records, names, classes)
    last = compare_variants(records, [names[-1], *names[:-1]], classes)
    return {
        name: f"{100 * first[name].own.value:.1f} | {_change(first[name].change)} | {_change(last[name].change)}"
        for name in names
    }


def _change(change: Any) -> str:
    if change.ends is None or not change.value:
        return ""
    low, high = change.ends
    return f"{100 * change.value:+.1f} ({100 * low:.1f} to {100 * high:.1f})"


def chosen(found: Mapping[str, Variant]) -> list[str]:
    """What each setting is, and how sure the tuning was."""
    rows = []
    for name, each in found.items():
        config, tuned = each.config, each.tuned
        passes = 1 if config.dropout is None else config.dropout.passes
        parts = [
            name,
            config.heads_in_words,
            f"{config.threshold:g}",
            str(passes),
            "off" if config.blur is None else f"{config.blur.sigma:g}",
            "off" if config.views is None else f"tiles {config.views.tiles}, mirror {config.views.mirror}",
            "" if tuned is None else "unknown" if tuned.wins is None else f"{tuned.wins:.0%}",
            "" if tuned is None else ", ".join(tuned.undecided_between) or "none",
        ]
        rows.append(f"| {' | '.join(parts)} |")
    return rows


def main() -> None:
    """Parse, tune what is not tuned yet, measure what is not measured yet, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--search", action="store_true", help="search blur and passes, too")
    parser.add_argument("--only", choices=SETS, help="measure on this set, beside another process, and write no page")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    recommended = Segmenter.from_pretrained("mini")
    recommended = recommended.replace(backbone=share_encodings(recommended.backbone))
    photos, _ = train_photos(options.data, options.scratch, options.photos)
    found = variants(recommended, photos, options.scratch, WAYS | WHOLE if options.search else WAYS)
    unpacked = unpack(options.data, options.scratch)
    columns = {
        key: measure(
            recommended, found, open_dataset(key, unpacked / place), options.scratch / f"measured{len(found)}-{key}"
        )
        for key, (place, _) in SETS.items()
        if options.only in (None, key)
    }
    if options.only:
        return
    card = recommended.backbone.card
    start = to_json(found[UNTUNED].config.model_dump(mode="json")).decode()
    lines = [
        "# What tuning without pixel labels gains",
        "",
        "`python -m benchmarks.tuning_gain --data DIR --scratch DIR --out benchmarks/results/tuning_gain.md"
        f" --photos {options.photos}{' --search' * options.search}`, {date.today().isoformat()}; `{card.name}`",
        f"({card.revision}).",
        "",
        f"Chosen on {len(photos.photos)} photos of VOC 2012's segmentation train list by the names of their classes:",
        "no box, no mask; `mini` judges itself. Untuned is what `mini` would be if nobody had tuned it: the package's",
        "defaults, read two thirds up at the first head. Recommended is the preset `default` of today.",
        "",
        "| settings | read at | threshold | passes | blur | views | wins | undecided from |",
        "|---|---|---|---|---|---|---|---|",
        *chosen(found),
        "",
        "Wins: share of the bootstrap's draws over the tuning's photos in which the chosen heads come first"
        + (", or, where the whole method was searched, the chosen settings." if options.search else "."),
    ]
    for key, (_, title) in SETS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "Oracle names, Dense CRF, nothing chosen here. Changes with 95% intervals from a bootstrap over photos.",
            "",
            "| settings | mIoU | change against untuned | change against recommended |",
            "|---|---|---|---|",
            *(f"| {name} | {columns[key][name]} |" for name in found),
        ]
    lines += ["", f"Untuned in full: `{start}`", ""]
    options.out.write_text("\n".join(lines))
    print(options.out)


if __name__ == "__main__":
    main()
