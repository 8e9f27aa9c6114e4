"""From which match score on is a name looked for? The step `presence`, chosen on photos that nothing is reported on.

    python -m benchmarks.presence_rule --data DIR [--model mini] [--out benchmarks/results/presence_rule.md]

DIR holds `voc2012-train-448.tar` and `voc2012-train-boxes.json` (`benchmarks.boxes`): 311 photos of VOC 2012's
segmentation train list and which of the 20 names each holds. A person who types names mostly types what is there: the
first table asks each photo for its own names and as many others, drawn at random; the second for all twenty.
"""

import argparse
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.boxes import read_photos
from pnpovss import Segmenter
from pnpovss.datasets.names import bundled_names
from pnpovss.inputs import prepare
from pnpovss.matching import match_names

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    """Score every photo with every name, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/presence_rule.md"))
    options = parser.parse_args()
    segmenter = Segmenter.from_pretrained(options.model, device="cpu", without=["presence", "views"])
    names = bundled_names("voc2012")
    scores, truth = [], []
    for image, things in read_photos(options.data):
        there = {thing.word for thing in things}
        inputs = prepare(image, names, segmenter.backbone.card, segmenter.config)
        features = segmenter.backbone.encode_images(inputs.pixels)
        scores.append(match_names(segmenter.backbone, features, [inputs.names], segmenter.config)[0])
        truth.append([str(name) in there for name in names])
    text = document(options.model, segmenter.backbone.card.revision, np.array(scores), np.array(truth))
    options.out.write_text(text)
    print(text)


def document(model: str, revision: str | None, scores: np.ndarray, truth: np.ndarray) -> str:
    """Both tables; scores and truth are "photo name"."""
    asked = truth.copy()
    rng = np.random.default_rng(0)
    for these, own in zip(asked, truth, strict=True):
        these[rng.choice(np.flatnonzero(~own), own.sum(), replace=False)] = True
    lines = [
        f"# From which match score on a name is looked for: {model}, revision {revision}",
        "",
        f"`python -m benchmarks.presence_rule --data DIR`, {date.today()}, {len(truth)} photos of VOC 2012's",
        "segmentation train list, for choosing only; nothing is reported on them. Shares over all pairs of photo and",
        "name.",
    ]
    for title, chosen in (
        ("Each photo's own names and as many others", asked),
        ("All twenty names", np.ones_like(truth)),
    ):
        lines += [
            "", f"## {title}", "",
            "| looked for from | found of what is there | right of what is looked for | F1 |",
            "|---|---|---|---|",
        ]  # fmt: skip
        lines += [row(level, scores[chosen] >= level, truth[chosen]) for level in LEVELS]
    return "\n".join(lines) + "\n"


def row(level: float, kept: np.ndarray, there: np.ndarray) -> str:
    """Recall, precision and F1 of one level."""
    hits = (kept & there).sum()
    recall, precision = hits / there.sum(), hits / max(kept.sum(), 1)
    return f"| {level} | {recall:.1%} | {precision:.1%} | {2 * recall * precision / (recall + precision):.1%} |"


if __name__ == "__main__":
    main()
