"""How the model's own filters know the names of photos that settings are chosen by, and what their weights would be.

    python -m benchmarks.presence_choose --data DIR [--model mini] [--limit N] [--out FILE]

DIR holds `voc2012-train-448.tar` and `voc2012-train-boxes.json` (`benchmarks.boxes`): 311 photos of VOC 2012's
segmentation train list and which of the 20 names each holds, for choosing only; nothing is reported on them. Each
filter decides by its own rule. The last row weighs what `itm+itc+attention` weighs anew, by logistic regression: each
tenth of the photos is scored with the weights that the others give. The line below the table has those of all photos.
"""

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from torch import Tensor

from benchmarks.boxes import read_photos
from pnpovss import Segmenter
from pnpovss.backbones.base import Backbone, ImageFeatures, TextTokens
from pnpovss.backbones.shared import share_encodings
from pnpovss.config import Config
from pnpovss.datasets.names import bundled_names
from pnpovss.presence import Photo, Presence, PresenceQuality, make_presence
from pnpovss.presence.own_model import BOTH_RULE, Attention
from pnpovss.presence.quality import average_precision
from pnpovss.presence.rules import Rule

FILTERS = ("itm", "itc", "itm+itc")
FOLDS = 10
RIDGE = 1e3
"""Hardly any: the inverse of the weight of squares."""
WEIGHED = ("l", "l - max l", "c - max c", "a")
"""As in `Attention`, and l for itself."""
CLOSING = (
    "The row `itm+itc+attention` is the filter as it is: l / 2 + 2.3 (c - max c) + a - 2, weighed on these photos",
    "with the fourth generation of `mini`'s weights.",
)


class Remembering(Attention):
    """The filter `itm+itc+attention`, which keeps what it weighs.

    Attributes:
        weighed: of each photo, "name 4": the numbers of `WEIGHED`.
    """

    def __init__(self, backbone: Backbone, rule: Rule, config: Config) -> None:
        """See `Attention`."""
        super().__init__(backbone, rule, config)
        self.weighed: list[Float[np.ndarray, "name 4"]] = []

    def evidence(self, features: ImageFeatures, texts: tuple[TextTokens, ...]) -> Float[Tensor, "3 t"]:
        """See `Attention.evidence`."""
        found = super().evidence(features, texts)
        odds, cosines, looks = found.numpy()
        self.weighed.append(np.stack([odds, odds - odds.max(), cosines - cosines.max(), looks], 1))
        return found


def main() -> None:
    """Ask every filter about every photo, fit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--limit", type=int, help="so many photos, evenly spaced")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    segmenter = Segmenter.from_pretrained(options.model, device="cpu", without=["presence"])
    names, backbone = bundled_names("voc2012"), share_encodings(segmenter.backbone)
    looking = Remembering(backbone, BOTH_RULE, segmenter.config)
    filters = {key: make_presence(key, backbone=backbone, config=segmenter.config) for key in FILTERS}
    filters[looking.prefix] = looking
    found: dict[str, list[Presence]] = {key: [] for key in filters}
    truth = []
    for number, (image, things) in enumerate(read_photos(options.data, options.limit)):
        there = {thing.word for thing in things}
        truth.append([str(name) in there for name in names])
        for key, presence in filters.items():
            found[key].append(presence.decide(Photo(image, str(number), ()), names))
    there, weighed = np.array(truth), np.stack(looking.weighed)
    found["the last, weighed anew"] = [
        Presence(BOTH_RULE.keep(scores), tuple(scores)) for scores in weighed_anew(weighed, there).tolist()
    ]
    lines = [row(key, decided, there) for key, decided in found.items()]
    text = document(options.model, segmenter.backbone.card.revision, lines, fit(weighed, there), len(there))
    print(text)
    if options.out:
        options.out.write_text(text)


def fit(weighed: Float[np.ndarray, "photo name 4"], there: Bool[np.ndarray, "photo name"]) -> Float[np.ndarray, " 5"]:
    """Weights of a logistic regression, the constant last."""
    model = LogisticRegression(C=RIDGE).fit(weighed.reshape(-1, len(WEIGHED)), there.ravel())
    return np.append(model.coef_[0], model.intercept_)


def weighed_anew(
    weighed: Float[np.ndarray, "photo name 4"], there: Bool[np.ndarray, "photo name"]
) -> Float[np.ndarray, "photo name"]:
    """Scores of each tenth of the photos, with the weights that the other nine give."""
    folds = PredefinedSplit(np.repeat(np.arange(len(weighed)) % FOLDS, there.shape[1]))
    inputs, target = weighed.reshape(-1, len(WEIGHED)), there.ravel()
    scores = cross_val_predict(LogisticRegression(C=RIDGE), inputs, target, cv=folds, method="predict_proba")
    return np.asarray(scores)[:, 1].reshape(there.shape)


def row(key: str, found: Sequence[Presence], there: Bool[np.ndarray, "photo name"]) -> str:
    """One line of the table."""
    quality, overlaps = PresenceQuality(), []
    for decided, own in zip(found, there, strict=True):
        kept, true = set(decided.kept), set(np.flatnonzero(own).tolist())
        quality.add(decided, sorted(true))
        overlaps.append(len(kept & true) / max(1, len(kept | true)))
    scores = np.array([decided.scores for decided in found])
    pooled = average_precision(scores.ravel(), there.ravel())
    shares = (np.mean(overlaps), quality.precision, quality.recall, pooled, quality.mean_average_precision)
    return f"| {key} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |"


def document(
    model: str, revision: str | None, lines: Sequence[str], weights: Float[np.ndarray, " 5"], photos: int
) -> str:
    """The table, and the weights below."""
    terms = [f"{weight:.2f} ({name})" for weight, name in zip(weights, (*WEIGHED, "1"), strict=True)]
    head = [
        f"# Names by a model's own heads, on photos for choosing: {model}, revision {revision}",
        "",
        f"`python -m benchmarks.presence_choose --data DIR`, {date.today()}, {photos} photos of VOC 2012's",
        "segmentation train list, all 20 names; for choosing only, nothing is reported on them. In percent.",
        "",
        "| names | kept or there that are both, mean over photos | precision | recall | average precision, pooled "
        "| mean over names |",
        "|---|---|---|---|---|---|",
    ]
    tail = [f"Weighed anew, all photos: {' + '.join(terms)}.", "", *CLOSING]
    return "\n".join([*head, *lines, "", *tail, ""])


if __name__ == "__main__":
    main()
