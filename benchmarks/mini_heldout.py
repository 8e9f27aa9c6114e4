"""Does `mini` know names that it was never trained on? Average precision of its scores over held-out nouns.

    python -m benchmarks.mini_heldout --data DIR [--model mini] [--out benchmarks/results/mini_heldout.md]

DIR holds the photo archives. The held-out words (`training.vocabulary.HELD_OUT`) were in no training prompt and no
caption; photos of these things were trained on under other names that they have ("animal", "vehicle"). Lite2's
classifier knows some of the words as ImageNet classes, whose embeddings are among the image features.
The photos are all of the held-out folders, and of the other folders those that no stage trained on (one in 20). Each
head alone sees the photo once; the filters of both, `itm+itc` and `itm+itc+attention`, look as `--presence` has them.
"""

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.metrics import average_precision_score

from pnpovss.backbones.base import Backbone, is_contrastive
from pnpovss.backbones.registry import load_backbone
from pnpovss.config import Config
from pnpovss.inputs import to_pixels
from pnpovss.names import parse_names
from pnpovss.presence import Photo, make_presence
from training.photos import PhotoReader, index_photos
from training.vocabulary import HELD_OUT


def main() -> None:
    """Score every photo with every name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mini_heldout.md"))
    options = parser.parse_args()
    backbone = load_backbone(options.model)
    photos = index_photos(options.data, ["caltech101"])
    folder = np.array([photo.name.split("/")[0] for photo in photos])
    unseen = np.array([photo.held_back for photo in photos])
    names = [name for name in HELD_OUT if (folder == name).any()]
    rows = np.flatnonzero(np.isin(folder, names) | unseen).tolist()
    reader = PhotoReader(options.data, photos)
    by_score = {**both_heads(backbone, reader, rows, names), **by_filters(backbone, reader, rows, names)}
    lines = [
        f"# Names never trained on: {options.model}, revision {backbone.card.revision}",
        "",
        f"`python -m benchmarks.mini_heldout --data DIR`, {date.today()}, {len(rows)} Caltech101 photos at 320 px:",
        "all of the held-out folders, and of the other folders those that no stage trained on. Average precision of",
        "one name against all photos.",
        "",
        f"| name | photos | {' | '.join(by_score)} |",
        f"|---|---|{'---|' * len(by_score)}",
    ]
    scores = []
    for column, name in enumerate(names):
        truth = folder[rows] == name
        scores.append([100 * float(average_precision_score(truth, each[:, column])) for each in by_score.values()])
        lines.append(f"| {name} | {truth.sum()} | {' | '.join(f'{each:.1f}' for each in scores[-1])} |")
    lines.append(f"| **mean** | | {' | '.join(f'**{each:.1f}**' for each in np.mean(scores, 0))} |")
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def both_heads(
    backbone: Backbone, reader: PhotoReader, rows: Sequence[int], nouns: Sequence[str]
) -> dict[str, Float[np.ndarray, "photo noun"]]:
    """The match probability ("itm") and the cosine ("itc") of photos with "A picture of" each noun, at 320 px.

    Raises:
        SystemExit: the model has no contrastive heads.
    """
    if not is_contrastive(backbone):
        raise SystemExit(f"{backbone.card.name} has no contrastive heads")
    prompts = [backbone.tokenize(f"A picture of {noun}") for noun in nouns]
    texts = backbone.embed_texts(prompts)
    itm, itc = [], []
    for row in rows:
        features = backbone.encode_images(to_pixels(reader[int(row)], (320, 320), backbone.card))
        itm.append(backbone.match(features, [prompts]).probability[0].numpy())
        itc.append((backbone.embed_images(features) @ texts.T)[0].numpy())
    return {"itm": np.array(itm), "itc": np.array(itc)}


def by_filters(
    backbone: Backbone, reader: PhotoReader, rows: Sequence[int], nouns: Sequence[str]
) -> dict[str, Float[np.ndarray, "photo noun"]]:
    """The scores that the filters of both heads give photos and nouns, all nouns asked for together, at 320 px."""
    config, names = Config.preset("default", {"image_size": 320}), parse_names(nouns)
    found = {}
    for spec in ("itm+itc", "itm+itc+attention"):
        decide = make_presence(spec, backbone=backbone, config=config).decide
        found[spec] = np.array([decide(Photo(reader[int(row)]), names).scores for row in rows])
    return found


if __name__ == "__main__":
    main()
