"""Twelve photos with what `mini` makes of them, for its card; good and bad ones, by a rule made beforehand.

    python -m benchmarks.mini_gallery --data DIR [--out benchmarks/results/mini_gallery.png]

The rule: the six photos of `examples/` with the names of `boxes.json`, and six of the Caltech101 photos that no stage
trained on, evenly spaced in the order of their paths, with the name of their folder.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from matplotlib import pyplot
from PIL import Image

from pnpovss.segmenter import Segmenter
from training.photos import PhotoReader, index_photos

PRESETS = ("default", "best")
EXAMPLES = Path(__file__).parents[1] / "examples"
COLOURS = np.array([[0, 0, 0], [230, 97, 1], [26, 152, 80], [94, 60, 153], [33, 102, 172]], np.float32)


def chosen(data: Path) -> list[tuple[Image.Image, list[str]]]:
    """Photos and names by the rule."""
    boxes = json.loads((EXAMPLES / "boxes.json").read_text())
    pairs = [(Image.open(EXAMPLES / photo).convert("RGB"), list(names)) for photo, names in sorted(boxes.items())]
    photos = [photo for photo in index_photos(data, ["caltech101"]) if photo.held_back]
    reader = PhotoReader(data, photos)
    for index in np.linspace(0, len(photos) - 1, 12 - len(pairs)).round().astype(int):
        name = photos[index].name.split("/")[0].replace("_", " ").lower()
        pairs.append((reader[int(index)], [name]))
    return pairs


def main() -> None:
    """Draw photo, heat map of the first name, and overlays of both presets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mini_gallery.png"))
    options = parser.parse_args()
    # The names are known to be there.
    presets = {name: Segmenter.from_pretrained(options.model, preset=name, without=("presence",)) for name in PRESETS}
    pairs = chosen(options.data)
    figure, axes = pyplot.subplots(4, 12, figsize=(24, 8))
    for index, (image, names) in enumerate(pairs):
        results = {preset: segmenter(image, names) for preset, segmenter in presets.items()}
        first = results[PRESETS[0]]
        pictures = {
            ", ".join(names): np.asarray(image),
            f"{names[0]}, match {first.match:.2f}": first.heatmap(names[0]),
            **{preset: overlay(image, result.labels) for preset, result in results.items()},
        }
        row, column = divmod(index, 3)
        for offset, (title, picture) in enumerate(pictures.items()):
            axis = axes[row, 4 * column + offset]
            axis.imshow(picture)
            axis.axis("off")
            axis.set_title(title, fontsize=9)
    figure.tight_layout(pad=0.3)
    figure.savefig(options.out, dpi=70)


def overlay(image: Image.Image, labels: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with its regions coloured."""
    photo = np.asarray(image, np.float32)
    return np.where(labels[..., None] > 0, 0.45 * photo + 0.55 * COLOURS[labels], photo).astype(np.uint8)


if __name__ == "__main__":
    main()
