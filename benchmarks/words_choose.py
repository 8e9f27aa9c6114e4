"""How well a model knows the words of captions, on photos that weights are chosen by.

    python -m benchmarks.words_choose --data DIR --wordnet DIR [--model mini] [--out FILE]

DIR of `--data` holds `flickr8k-224.tar`; the photos are those of it that no stage trains on (one in 20), for choosing
only; nothing is reported on them. A noun is there where two of a photo's five captions say it, absent where none says
it, or anything that lies above or below it in WordNet; else nobody knows. Average precision of one noun against all
photos of which it is known, mean over nouns: those of VOC's classes, which boxes of other photos judge, and the others.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int8
from sklearn.metrics import average_precision_score

from benchmarks.mini_heldout import both_heads
from pnpovss.backbones.registry import load_backbone
from pnpovss.datasets.names import bundled_names
from training.captions import photo_nouns, read_captions
from training.labels import words_for
from training.photos import PhotoReader, index_photos
from training.vocabulary import held_out
from training.wordnet import WordNet

LEAST = 4
"""Photos that show a noun; with fewer, its average precision is chance."""
TWICE = 2
"""Captions that say it."""


def main() -> None:
    """Score every photo with every noun."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    backbone = load_backbone(options.model)
    wordnet, captions = WordNet(options.wordnet), read_captions(options.data)
    photos = [photo for photo in index_photos(options.data, ["flickr8k"]) if photo.held_back and photo.name in captions]
    said = photo_nouns({photo.name: captions[photo.name] for photo in photos}, wordnet)
    nouns, labels = known_nouns([said[photo.name] for photo in photos], wordnet)
    scores = both_heads(backbone, PhotoReader(options.data, photos), range(len(photos)), nouns)
    text = document(options.model, backbone.card.revision, nouns, labels, scores)
    print(text)
    if options.out:
        options.out.write_text(text)


def known_nouns(said: Sequence[Counter[str]], wordnet: WordNet) -> tuple[list[str], Int8[np.ndarray, "photo noun"]]:
    """The nouns that enough photos show, and for each photo +1 there, -1 absent, 0 not known.

    Args:
        said: of each photo, how many of its captions say each noun.
        wordnet: tells what lies above a noun.
    """
    shown = Counter(noun for counts in said for noun, count in counts.items() if count >= TWICE)
    nouns = sorted(noun for noun, count in shown.items() if count >= LEAST and not held_out(noun))
    labels = np.full((len(said), len(nouns)), -1, np.int8)
    for row, counts in zip(labels, said, strict=True):
        for column, noun in enumerate(nouns):
            if counts[noun] >= TWICE:
                row[column] = 1
            elif any(_are_kin(noun, other, wordnet) for other in counts):
                row[column] = 0
    return nouns, labels


def _are_kin(noun: str, other: str, wordnet: WordNet) -> bool:
    """Whether one lies above the other, or is it; of a noun's meanings the commonest counts."""
    if noun == other:
        return True
    if not (noun in wordnet.senses and other in wordnet.senses):
        return False
    mine, its = wordnet.senses[noun][0], wordnet.senses[other][0]
    return mine in wordnet.ancestors(its) or its in wordnet.ancestors(mine)


def precisions(
    scores: Float[np.ndarray, "photo noun"], labels: Int8[np.ndarray, "photo noun"]
) -> Float[np.ndarray, " noun"]:
    """Average precision of each noun, over the photos of which it is known."""
    return np.array(
        [
            average_precision_score(own[own != 0] > 0, values[own != 0])
            for values, own in zip(scores.T, labels.T, strict=True)
        ]
    )


def document(
    model: str,
    revision: str | None,
    nouns: Sequence[str],
    labels: Int8[np.ndarray, "photo noun"],
    scores: dict[str, Float[np.ndarray, "photo noun"]],
) -> str:
    """The table."""
    voc = {word for name in bundled_names("voc2012") for said in name.all for word in words_for(said)}
    of_voc = np.array([noun in voc for noun in nouns])
    lines = [
        f"# Words of captions, on photos for choosing: {model}, revision {revision}",
        "",
        f"`python -m benchmarks.words_choose --data DIR --wordnet DIR`, {date.today()}, {len(labels)} Flickr8k",
        "photos at 320 px that no stage trained on; for choosing only, nothing is reported on them. Average precision",
        "of each noun, mean over nouns, in percent.",
        "",
        f"| score | the {of_voc.sum()} nouns that are VOC's | the other {(~of_voc).sum()} |",
        "|---|---|---|",
    ]
    for key, values in scores.items():
        each = 100 * precisions(values, labels)
        lines.append(f"| {key} | {each[of_voc].mean():.1f} | {each[~of_voc].mean():.1f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
