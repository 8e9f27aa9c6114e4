"""The method made visible: Salience Dropout pass by pass, each step of refinement, and what every head looks at."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import Reading
from pnpovss.config import CrfSettings, Settings
from pnpovss.inputs import ask
from pnpovss.prompts import Prompts
from pnpovss.refine.scores import threshold
from pnpovss.saliency.gradcam import gradcam
from pnpovss.saliency.tokens import merge_tokens
from pnpovss.segmenter import Explained, Segmenter
from pnpovss.service.pictures import bits, index_png, levels, shrunk
from pnpovss.service.remembering import Asked, Remembering
from pnpovss.service.schemas import HeadAnswer, HeadsAnswer, MapAnswer, PassAnswer, StageAnswer, StepsAnswer

__all__ = ["DRAFT", "Smaller", "heads", "smaller", "steps"]

DRAFT = 200_000  # pixels of a photo that is refined fast
STAGE = 480  # longer side of a stage's label map [px]


@dataclass(frozen=True)
class Smaller:
    """A photo, reduced, with settings whose widths are of the reduced one."""

    image: Image.Image
    settings: Settings


def smaller(image: Image.Image, settings: Settings) -> Smaller:
    """A copy of at most `DRAFT` pixels; the same where it has no more."""
    scale = min(1.0, (DRAFT / (image.width * image.height)) ** 0.5)
    if scale == 1.0:
        return Smaller(image, settings)
    reduced = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    crf = settings.crf
    if crf is None:
        return Smaller(reduced, settings)
    widths = {name: max(getattr(crf, name) * scale, 0.5) for name in ("gaussian_sxy", "bilateral_sxy")}
    return Smaller(reduced, settings.model_copy(update={"crf": CrfSettings(**{**crf.model_dump(), **widths})}))


@dataclass(frozen=True)
class _Whole:
    """One look at the whole photo: what both answers start from."""

    kept: tuple[int, ...]
    prompts: Prompts
    pixels: Float[Tensor, "1 3 H W"]
    segmenter: Segmenter


def _whole(sight: Remembering, asked: Asked) -> _Whole:
    settings = asked.settings.model_copy(update={"views": None})
    explained = sight.explain(asked)
    names = [asked.names[i] for i in explained.kept]
    pixels = sight.inputs(asked, settings).pixels
    prompts = ask(names, sight.backbone, settings)
    return _Whole(explained.kept, prompts, pixels, Segmenter(sight.backbone, settings, asked.preset))


def steps(sight: Remembering, asked: Asked) -> StepsAnswer:
    """Every step of the method on the whole photo, without views.

    Names that the settings hold to be absent are left out, as ever; without any left there is nothing to show.
    """
    whole = _whole(sight, asked)
    if not whole.kept:
        return _nothing(asked, whole)
    segmenter, prompts = whole.segmenter, whole.prompts
    tokens, groups = [prompts.tokens], [prompts.name_tokens]
    seen = sight.backbone.encode_images(whole.pixels)
    plain = Segmenter(sight.backbone, segmenter.config.replace({"gradcam": False}), asked.preset)
    first = next(plain.passes(whole.pixels, seen, tokens, groups))
    passes = list(segmenter.passes(whole.pixels, seen, tokens, groups))
    dropout = segmenter.config.dropout
    weights = dropout.pass_weights if dropout else (1.0,)
    found = [each.maps[0] * each.kept[0] for each in passes]  # of "token gh gw"
    summed = torch.stack([weight * each for weight, each in zip(weights, found, strict=True)]).sum(0)
    total, words = merge_tokens(summed, prompts.name_tokens), merge_tokens(summed, prompts.word_tokens)
    level = asked.settings.threshold
    return StepsAnswer(
        photo_id=asked.photo,
        grid=_grid(total),
        kept=list(whole.kept),
        prompts=list(prompts.texts),
        attention=_maps(merge_tokens(first.maps[0], prompts.name_tokens)),
        passes=[
            PassAnswer(
                kept=bits(each.kept[0].cpu().numpy()),
                match=float(each.match[0].mean()),
                maps=_maps(merge_tokens(own, prompts.name_tokens)),
            )
            for each, own in zip(passes, found, strict=True)
        ],
        total=_maps(total),
        threshold=_maps(total if level is None else threshold(total, level)),
        stages=_stages(sight, asked, Explained(whole.kept, total, words, prompts, 1.0, None)),
        settings=segmenter.config.model_dump(mode="json"),
    )


def _nothing(asked: Asked, whole: _Whole) -> StepsAnswer:
    return StepsAnswer(
        photo_id=asked.photo,
        grid=(0, 0),
        kept=[],
        prompts=[],
        attention=[],
        passes=[],
        total=[],
        threshold=[],
        stages=[],
        settings=whole.segmenter.config.model_dump(mode="json"),
    )


def _stages(sight: Remembering, asked: Asked, explained: Explained) -> list[StageAnswer]:
    """The label map after the threshold, after the blur, and after the Dense CRF, as far as these are on."""
    image = sight.photo(asked)
    least = smaller(image, asked.settings)
    on = [step for step in ("blur", "crf") if getattr(asked.settings, step) is not None]
    shown = shrunk((image.height, image.width), STAGE)
    found = []
    for count in range(len(on) + 1):
        off = {step: None for step in on[count:]}
        settings = least.settings.model_copy(update=off)
        result = sight.refine(asked, explained, least.image, settings)
        step = on[count - 1] if count else "threshold"
        found.append(StageAnswer(step=step, labels=index_png(result.labels, len(asked.names), shown)))
    return found


def heads(sight: Remembering, asked: Asked) -> HeadsAnswer:
    """The map of each name in each head that can be read, after GradCAM where that is on; for every name asked for."""
    settings = asked.settings.model_copy(update={"views": None})
    card, backbone = sight.backbone.card, sight.backbone
    prompts = ask(asked.names, backbone, settings)
    features = backbone.encode_images(sight.inputs(asked, settings).pixels)
    found: list[HeadAnswer] = []
    grid = (0, 0)
    for layers in card.read_together(card.heads):
        [seen] = backbone.match(features, [prompts.tokens], Reading(layers, settings.gradcam)).maps
        grid = _grid(seen.attention)
        for row, layer in enumerate(layers):
            for head in range(card.heads[layer]):
                gradient = None if seen.gradient is None else seen.gradient[row, head]
                own = merge_tokens(gradcam(seen.attention[row, head], gradient), prompts.name_tokens)
                found.append(HeadAnswer(layer=layer, head=head, maps=_maps(own)))
    return HeadsAnswer(photo_id=asked.photo, grid=grid, read=list(settings.all_heads), heads=found)


def _maps(maps: Float[Tensor, "name gh gw"]) -> list[MapAnswer]:
    return [MapAnswer.model_validate(levels(each)) for each in maps.detach().cpu().numpy()]


def _grid(maps: Any) -> tuple[int, int]:
    return int(maps.shape[-2]), int(maps.shape[-1])
