"""The method made visible: Salience Dropout pass by pass, each step of refinement, and what every head looks at."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from pnpovss.config import CrfSettings, Settings
from pnpovss.heads import look_with_all_heads
from pnpovss.results.labels import as_asked
from pnpovss.segmenter import Segmenter
from pnpovss.service.pictures import bits, label_png, levels, shrunk
from pnpovss.service.remembering import Asked, Remembering
from pnpovss.service.schemas import (
    HeadAnswer,
    HeadsAnswer,
    MapAnswer,
    PassAnswer,
    StageAnswer,
    StepMaps,
    StepsAnswer,
)
from pnpovss.service.work import go_on
from pnpovss.steps import steps_of

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


def steps(sight: Remembering, asked: Asked) -> StepsAnswer:
    """Every step of the method on a copy of the photo of at most `DRAFT` pixels, without views.

    Raises:
        NamesError: none of the names is held to be in the photo.
    """
    least = smaller(sight.photo(asked), asked.settings)
    segmenter = Segmenter(sight.backbone, least.settings, asked.preset)
    found = steps_of(segmenter, least.image, asked.names, go_on)
    kept = [i for i, name in enumerate(asked.names) if name.text in found.names]
    count, shown = len(asked.names), shrunk((least.image.height, least.image.width), STAGE)
    return StepsAnswer(
        photo_id=asked.photo,
        grid=_grid(found.passes[0].kept),
        kept=kept,
        maps=[StepMaps(step=step, maps=_maps(maps)) for step, maps in found.maps.items()],
        passes=[PassAnswer(kept=bits(each.kept), weight=each.weight, maps=_maps(each.maps)) for each in found.passes],
        stages=[
            StageAnswer(step=step, labels=label_png(as_asked(labels, kept, count), shown))
            for step, labels in found.stages.items()
        ],
        settings=segmenter.config.without("views").model_dump(mode="json"),
    )


def heads(sight: Remembering, asked: Asked) -> HeadsAnswer:
    """The map of each name in each head that can be read, after GradCAM where that is on; for every name asked for."""
    settings = asked.settings.model_copy(update={"views": None})
    looks = look_with_all_heads(sight.backbone, sight.inputs(asked, settings), settings)
    found = [
        HeadAnswer(layer=look.layer, head=look.head, maps=_maps(look.maps.detach().cpu().numpy())) for look in looks
    ]
    return HeadsAnswer(photo_id=asked.photo, grid=_grid(looks[0].maps), read=list(settings.all_heads), heads=found)


def _maps(maps: Float[np.ndarray, "name gh gw"]) -> list[MapAnswer]:
    return [MapAnswer.model_validate(levels(each)) for each in maps]


def _grid(maps: Any) -> tuple[int, int]:
    return int(maps.shape[-2]), int(maps.shape[-1])
