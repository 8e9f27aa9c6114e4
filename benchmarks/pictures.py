"""Make every picture that README and docs/ show, from the photos in examples/ and the bundled model.

    python -m benchmarks.pictures [NAME ...]

Writes docs/pictures/NAME.webp, each from the function of that name below; without names, all. Needs the extra
`figures`. Run it anew when the bundled weights or the figures change, and look at them: nothing else says that a
picture is right.
"""

import io
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from pnpovss import Segmenter, tune
from pnpovss.results.figures.canvas import figure_bytes
from pnpovss.results.side_by_side import side_by_side
from pnpovss.steps import steps_of

ROOT = Path(__file__).parent.parent
PHOTOS, OUT = ROOT / "examples", ROOT / "docs/pictures"
DOG, NAMES = PHOTOS / "dog.jpg", ["dog", "bicycle"]
IN_PHOTOS = {"cat": ["cat"], "dog": NAMES, "eagle": ["bird"], "horses": ["horse"], "rocket": ["rocket"]}
"""What the page on tuning is made from."""
WIDEST = 1400
"""Of a picture [px]; figures are drawn larger, and look sharp on dense screens."""

# What the page of settings shows: the values of each, by the name of its picture.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "setting-image_size": {f"image_size {side}": {"image_size": side} for side in (192, 320, 448)},
    "setting-views": {
        "views off": {"views": None},
        "mirror image": {"views": {"mirror": True}},
        "tiles of 0.6": {"views": {"mirror": False, "tiles": [0.6]}},
    },
    "setting-gradcam": {"GradCAM": {"gradcam": True}, "attention alone": {"gradcam": False}},
    "setting-dropout": {
        "off": {"dropout": None},
        "4 passes, 10 patches": {"dropout.passes": 4, "dropout.drop": 10},
        "4 passes, half": {"dropout.passes": 4, "dropout.drop": 0.5},
    },
    "setting-threshold": {f"threshold {level}": {"threshold": level} for level in (0.05, 0.15, 0.3, 0.5)},
    "setting-background": {
        "always": {"background.policy": "always"},
        "never": {"background.policy": "never"},
    },
    "setting-blur": {"off": {"blur": None}, **{f"sigma {sigma}": {"blur.sigma": sigma} for sigma in (0.02, 0.05, 0.1)}},
    "setting-crf": {
        "off": {"crf": None},
        "as preset": {},
        "colours 13 wide": {"crf.bilateral_srgb": 13},
        "bilateral weight 3": {"crf.bilateral_compat": 3},
    },
}


@cache
def segmenter(preset: str = "default") -> Segmenter:
    return Segmenter.from_pretrained("mini", preset=preset)


def with_settings(settings: dict[str, Any]) -> Segmenter:
    own = segmenter()
    return Segmenter(own.backbone, own.config.replace(settings), own.preset)


def hero() -> bytes:
    """Two names that are there, and one that is not."""
    return webp(segmenter()(DOG, [*NAMES, "sofa"]).figure(DOG))


def eagle() -> bytes:
    photo = PHOTOS / "eagle.jpg"
    return webp(segmenter()(photo, ["bird"]).figure(photo), widest=800)


def horses() -> bytes:
    photo = PHOTOS / "horses.jpg"
    return webp(segmenter()(photo, ["horse"]).figure(photo), widest=800)


def heat() -> bytes:
    """One scale for all names; the absent one is grey."""
    return webp(segmenter()(DOG, [*NAMES, "sofa"]).figure(DOG, "heat"))


def words() -> bytes:
    """A sentence, looked for as one name."""
    return webp(segmenter()(DOG, ["a dog in front of a red bicycle"]).figure(DOG, "words"))


def presence() -> bytes:
    """The same four names, with the model's judgement and without it."""
    names = [*NAMES, "sofa", "boat"]
    every = with_settings({"presence": None})
    return webp(side_by_side(DOG, {"presence on": segmenter()(DOG, names), "presence off": every(DOG, names)}))


def presence_heat() -> bytes:
    """Absent names glow, too, where the model is made to look for them: less, on one scale."""
    return webp(with_settings({"presence": None})(DOG, [*NAMES, "boat"], name_match=True).figure(DOG, "heat"))


def steps() -> bytes:
    """Attention, GradCAM, passes, threshold, and labels after each further step, as in the paper."""
    return webp(steps_of(segmenter("paper"), DOG, NAMES).figure(DOG))


def passes() -> bytes:
    """Salience Dropout as the authors' code has it: ten patches a pass."""
    return webp(steps_of(segmenter("authors"), DOG, NAMES).passes_figure(DOG))


def passes_moving() -> bytes:
    return steps_of(segmenter("authors"), DOG, NAMES).animation(DOG, "webp")


def settings_picture(values: dict[str, dict[str, Any]]) -> bytes:
    """The photo segmented with each of some settings, side by side."""
    names = [*NAMES, "tree"] if "never" in values else NAMES
    return webp(side_by_side(DOG, {title: with_settings(each)(DOG, names) for title, each in values.items()}))


def tuning_sheet() -> bytes:
    """What each head sees in a few photos, as `tune` shows it, the best head first."""
    pairs = [(PHOTOS / f"{photo}.jpg", names) for photo, names in IN_PHOTOS.items()]
    with TemporaryDirectory() as folder:
        tune(segmenter(), pairs, folder, thresholds=[0.1, 0.3])
        with Image.open(Path(folder) / "sheet.png") as picture:
            return packed(picture, widest=1100)


PICTURES: dict[str, Callable[[], bytes]] = {
    each.__name__.replace("_", "-"): each
    for each in (hero, eagle, horses, heat, words, presence, presence_heat, steps, passes, passes_moving, tuning_sheet)
} | {name: lambda values=values: settings_picture(values) for name, values in SETTINGS.items()}


def webp(figure: Any, widest: int = WIDEST) -> bytes:
    """A figure as a picture that is small enough for a page."""
    with Image.open(io.BytesIO(figure_bytes(figure))) as picture:
        return packed(picture, widest)


def packed(picture: Image.Image, widest: int) -> bytes:
    """A picture made small."""
    picture.thumbnail((widest, 10 * widest), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.convert("RGB").save(file, "WEBP", quality=82, method=6)
    return file.getvalue()


def main(wanted: list[str]) -> None:
    """Write the pictures of these names, or all."""
    if unknown := set(wanted) - set(PICTURES):
        sys.exit(f"no picture is called {min(unknown)!r}; known: {', '.join(PICTURES)}")
    OUT.mkdir(exist_ok=True)
    for name in wanted or PICTURES:
        data = PICTURES[name]()
        (OUT / f"{name}.webp").write_bytes(data)
        print(f"{name}.webp: {len(data):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
