"""Which looks at a photo, how often, and how they are put together: judged by boxes, for choosing alone.

    python -m benchmarks.looks --data DIR --maps DIR [--model mini] [--limit N] [--out FILE]

DIR of `--data` is that of `benchmarks.boxes`. The maps of every look are made once and kept (`--maps`; a run that was
stopped goes on), then put together in each way of `WAYS`, refined as recommended at half the photos' size with the
Dense CRF's widths halved, and judged. The change is that of the bound against the first way, with a 95% interval from
a bootstrap over photos.
"""

import argparse
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from benchmarks.boxes import Judged, Thing, change, judge_photo, read_photos, summary
from pnpovss import Segmenter
from pnpovss.config import Config, ViewSettings
from pnpovss.inputs import ask, to_pixels
from pnpovss.names import parse_names
from pnpovss.refine.photo_crf import PhotoCrf
from pnpovss.refine.pipeline import photo_beside, refine
from pnpovss.refine.scores import score_maps
from pnpovss.saliency.tokens import merge_tokens
from pnpovss.saliency.views import WHOLE, View, merge_views, take_view, views_of

SHARES = {0.6: (2, 3), 0.5: (2, 3), 0.4: (3,)}
"""Tiles that are looked at: their part of each side, and how many across."""
HALVED = {"crf.bilateral_sxy": 25, "crf.gaussian_sxy": 1.5}


def tiles(share: float, across: int) -> tuple[View, ...]:
    """Tiles of one share, without the photo."""
    return views_of(ViewSettings(mirror=False, tiles=(share,), tiles_across=across))[1:]


MIRROR = View(mirrored=True)
EVERY = tuple(
    dict.fromkeys((WHOLE, MIRROR, *(view for share, many in SHARES.items() for n in many for view in tiles(share, n))))
)
PASSES = 4
"""Looks of Salience Dropout at the whole photo and at its mirror image; each blanks a twentieth of what is left."""


@dataclass(frozen=True)
class Way:
    """One way to put looks together.

    Attributes:
        views: that are used.
        passes: of Salience Dropout at the whole photo, averaged; tiles are looked at once.
        tiles_weight: of the tiles beside the whole.
        settings: of the steps behind.
        attention: attention alone in place of GradCAM.
        guided: a guided filter draws the scores to the photo's edges, before the Dense CRF or in its place.
    """

    views: tuple[View, ...]
    passes: int = 1
    tiles_weight: float = 0.5
    settings: Mapping[str, Any] | None = None
    attention: bool = False
    guided: Literal["before", "instead"] | None = None

    @property
    def looks(self) -> int:
        """How many looks it takes."""
        return len(self.views) + (self.passes - 1) * sum(view.share == 1 for view in self.views)


FEW = (WHOLE, *tiles(0.6, 2))
MANY = (WHOLE, MIRROR, *tiles(0.6, 3), *tiles(0.5, 3))
WAYS: dict[str, Way] = {
    "photo, four tiles of 0.6 (`default`)": Way(FEW),
    "the photo alone": Way((WHOLE,)),
    "the photo alone, two passes": Way((WHOLE,), 2),
    "the photo alone, four passes": Way((WHOLE,), 4),
    "`default`, two passes at the photo": Way(FEW, 2),
    "`default`, four passes at the photo": Way(FEW, 4),
    "`default`, attention alone": Way(FEW, attention=True),
    "photo and mirror, four tiles of 0.6": Way((WHOLE, MIRROR, *tiles(0.6, 2))),
    "photo, four tiles of 0.5": Way((WHOLE, *tiles(0.5, 2))),
    "photo, nine tiles of 0.6": Way((WHOLE, *tiles(0.6, 3))),
    "photo, nine tiles of 0.5": Way((WHOLE, *tiles(0.5, 3))),
    "photo, nine tiles of 0.4": Way((WHOLE, *tiles(0.4, 3))),
    "photo, four tiles of 0.6, nine of 0.4": Way((*FEW, *tiles(0.4, 3))),
    "photo, four tiles of 0.6, nine of 0.5": Way((*FEW, *tiles(0.5, 3))),
    "photo and mirror, nine tiles of 0.6": Way((WHOLE, MIRROR, *tiles(0.6, 3))),
    "photo and mirror, nine tiles of 0.6 and of 0.5 (`best`)": Way(MANY),
    "`best` without the mirror image": Way((WHOLE, *MANY[2:])),
    "`best`, nine tiles of 0.4 beside": Way((*MANY, *tiles(0.4, 3))),
    "`best`, two passes at photo and mirror": Way(MANY, 2),
    "`best`, four passes at photo and mirror": Way(MANY, 4),
    "`best`, attention alone": Way(MANY, attention=True),
    "`best`, tiles weigh a third": Way(MANY, tiles_weight=1 / 3),
    "`best`, tiles weigh two thirds": Way(MANY, tiles_weight=2 / 3),
    "`best`, threshold 0.07": Way(MANY, settings={"threshold": 0.07}),
    "`best`, threshold 0.13": Way(MANY, settings={"threshold": 0.13}),
    "`best`, blur 3%": Way(MANY, settings={"blur.sigma": 0.03}),
    "`best`, four passes, threshold 0.13": Way(MANY, 4, settings={"threshold": 0.13}),
    "`default`, four passes, threshold 0.13": Way(FEW, 4, settings={"threshold": 0.13}),
    "`best`, a guided filter in place of blur": Way(MANY, guided="before"),
    "`best`, a guided filter in place of the CRF": Way(MANY, guided="instead"),
    "`default`, threshold 0.07": Way(FEW, settings={"threshold": 0.07}),
    "`default`, threshold 0.13": Way(FEW, settings={"threshold": 0.13}),
}


@dataclass(frozen=True)
class Seen:
    """What every look saw in one photo.

    Attributes:
        image: the photo at half its size.
        things: that are in it.
        gradcam: GradCAM maps, for each view one a pass, "pass name gh gw" float16; blanked patches are 0.
        attention: the same without GradCAM, one look a view, "name gh gw".
    """

    image: Image.Image
    things: Sequence[Thing]
    gradcam: Mapping[View, Float[np.ndarray, "pass name gh gw"]]
    attention: Mapping[View, Float[np.ndarray, "name gh gw"]]


def see(segmenter: Segmenter, plain: Segmenter, image: Image.Image, things: Sequence[Thing]) -> Seen:
    """Take all looks at one photo."""
    backbone, settings = segmenter.backbone, segmenter.config
    prompts = ask(parse_names([each.word for each in things]), backbone, settings)
    gradcam, attention = {}, {}
    for view in EVERY:
        side = settings.image_size
        pixels = to_pixels(take_view(image, view), (side, side), backbone.card)
        seen = backbone.encode_images(pixels)
        method = segmenter if view.share == 1 else segmenter.replace(config=settings.without("dropout"))
        tokens = prompts.name_tokens
        passes = list(method.passes(pixels, seen, [prompts.tokens], [tokens]))
        gradcam[view] = torch.stack([merge_tokens(each.maps[0], tokens) * each.kept[0] for each in passes])
        [only] = plain.passes(pixels, seen, [prompts.tokens], [tokens])
        attention[view] = merge_tokens(only.maps[0], tokens)
    half = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX)
    kept = {view: maps.half().numpy() for view, maps in gradcam.items()}
    return Seen(half, things, kept, {view: maps.half().numpy() for view, maps in attention.items()})


def put_together(seen: Seen, way: Way) -> Float[Tensor, "name fh fw"]:
    """The merged maps of one way."""
    maps = []
    for view in way.views:
        if way.attention:
            maps.append(torch.from_numpy(seen.attention[view]).float())
        else:
            passes = torch.from_numpy(seen.gradcam[view]).float()
            maps.append(passes[: way.passes if view.share == 1 else 1].mean(0))
    return merge_views(maps, way.views, ViewSettings(tiles_weight=way.tiles_weight))


def judge_ways(seen: Seen, config: Config, ways: Mapping[str, Way]) -> dict[str, list[Judged]]:
    """What boxes say of one photo, way by way."""
    pixels, judged, filters = np.asarray(seen.image), {}, None
    for key, way in ways.items():
        merged = put_together(seen, way)
        own = config.replace(way.settings or {})
        if filters is None and own.crf is not None:
            filters = PhotoCrf(photo_beside(merged, pixels), own.crf)
        if way.guided is None or filters is None:
            labels = refine(merged, pixels, own, filters).labels
        else:
            scores = score_maps(merged, pixels.shape[:2], own.without("blur") if way.guided == "before" else own)
            drawn = guided_filter(scores, pixels)
            labels = (filters(drawn) if way.guided == "before" else drawn).argmax(0).numpy()
        judged[key] = judge_photo(labels, merged.numpy(), seen.things)
    return judged


def guided_filter(scores: Float[Tensor, "label h w"], pixels: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "label h w"]:
    """Probabilities that follow the photo's brightness in windows of 5% of its longer side (He et al., ECCV 2010)."""
    radius = round(0.05 * max(pixels.shape[:2]))
    window = (2 * radius + 1, 2 * radius + 1)
    guide = pixels.astype(np.float32).mean(2) / 255

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, window)

    around, out = mean(guide), []
    variance = mean(guide * guide) - around**2
    for own in scores.numpy():
        level = mean(own)
        slope = (mean(guide * own) - around * level) / (variance + 1e-3)
        out.append(mean(slope) * guide + mean(level - slope * around))
    drawn = torch.from_numpy(np.stack(out)).clamp(1e-4, 1)
    return drawn / drawn.sum(0)


def main() -> None:
    """Look, put together, judge, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--maps", type=Path, required=True, help="folder for what the looks saw")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--limit", type=int, help="so many photos, evenly spaced")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.maps.mkdir(parents=True, exist_ok=True)
    dropout = {"dropout.passes": PASSES, "dropout.drop": 0.05}
    segmenter = Segmenter.from_pretrained(
        options.model, device="cpu", settings={**dropout, **HALVED}, without=["presence", "views"]
    )
    plain = segmenter.replace(config=segmenter.config.without("dropout", "gradcam"))
    photos: list[dict[str, list[Judged]]] = []
    revision = segmenter.backbone.card.revision  # maps of other weights are not taken for these
    for number, (image, things) in enumerate(read_photos(options.data, options.limit)):
        file = options.maps / f"{revision}-{number}of{options.limit}.pkl"
        if not file.exists():
            part = file.with_suffix(".part")
            part.write_bytes(pickle.dumps(see(segmenter, plain, image, things)))
            part.replace(file)
        photos.append(judge_ways(pickle.loads(file.read_bytes()), segmenter.config, WAYS))
    text = document(options.model, revision, photos)
    print(text)
    if options.out:
        options.out.write_text(text)


def document(model: str, revision: str | None, photos: Sequence[Mapping[str, Sequence[Judged]]]) -> str:
    """The table."""
    lines = [
        f"# Looks at a photo, judged by boxes: {model}, revision {revision}",
        "",
        f"`python -m benchmarks.looks --data DIR --maps DIR`, {date.today()}, {len(photos)} photos of VOC 2012's",
        "segmentation train list at half their size, oracle names; for choosing only, nothing is reported on them.",
        "",
        "| looks | how many | bound | change | below 5%, 5 to 20%, above | times too large | pointing |",
        "|---|---|---|---|---|---|---|",
    ]
    every = {key: [photo[key] for photo in photos] for key in WAYS}
    first = next(iter(WAYS))
    for key, way in WAYS.items():
        found = summary([each for photo in every[key] for each in photo])
        sizes = [name for name in found if name.startswith("bound ")]
        large = [name for name in found if name.startswith("times too large ")]
        cells = [key, str(way.looks), f"{found['bound']:.1f}", "" if key == first else change(every[first], every[key])]
        cells += [", ".join(f"{found[name]:.1f}" for name in sizes), ", ".join(f"{found[n]:.1f}" for n in large)]
        lines.append(f"| {' | '.join(cells)} | {found['pointing']:.0f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
