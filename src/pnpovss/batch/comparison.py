"""The same photos and names under several models, one model in memory at a time; what fails costs no other anything."""

import gc
import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from PIL import Image

from pnpovss.batch.events import one_line
from pnpovss.batch.model import ModelChoice
from pnpovss.images import PHOTO_SUFFIXES, load_image
from pnpovss.names import Name
from pnpovss.results import pictures
from pnpovss.results.legend import entry

if TYPE_CHECKING:
    from pnpovss.results.segmentation import Segmentation
    from pnpovss.segmenter import Segmenter

__all__ = ["Look", "Row", "compare", "models_and_photos"]

WIDTH = 288  # of each picture [px]
_HIGHEST = 4 * WIDTH  # [px]; narrower photos are shown narrower, or one of them would make a sheet of gigabytes


@dataclass(frozen=True, eq=False)
class Look:
    """One photo under one model.

    Attributes:
        overlay: the photo with the regions, over a legend.
        heats: for each name, where the model looks for it.
        match: for each name, the probability in [0, 1] that the model gives to its being there.
    """

    overlay: Image.Image
    heats: tuple[Image.Image, ...]
    match: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """All photos under one model.

    Attributes:
        model: as it was asked for.
        told: layer, head and size that it is read at, and where these come from; empty where it could not be loaded.
        looks: for each photo, what came out, or one line on why nothing did.
    """

    model: str
    told: str
    looks: tuple[Look | str, ...]

    @property
    def failures(self) -> list[str]:
        """Lines on what went wrong, each once."""
        return list(dict.fromkeys(look for look in self.looks if isinstance(look, str)))


def models_and_photos(words: Iterable[str], known: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tell models from photos: a photo is a file, a pattern, or a folder that holds no checkpoint.

    Args:
        words: as they were typed, in any order.
        known: names of models.
    """
    models, photos, known = [], [], set(known)
    for word in words:
        path = Path(word)
        if path.is_dir():
            is_model = (path / "config.json").is_file()
        else:
            is_model = not (path.exists() or glob.has_magic(word) or path.suffix.lower() in PHOTO_SUFFIXES)
        (models if is_model or word in known else photos).append(word)
    return models, photos


def compare(
    choices: Sequence[ModelChoice],
    photos: Sequence[Path],
    names: tuple[Name, ...],
    on_look: Callable[[str, Path], None] = lambda model, photo: None,
) -> list[Row]:
    """Look at all photos with each model in turn.

    Every name is looked for in every photo, whatever a model thinks of its being there: the point is to see where each
    of them looks.

    Args:
        choices: the models, with their settings.
        photos: read anew for each model.
        names: what to look for.
        on_look: told before each look.
    """
    return [_under(choice, photos, names, on_look) for choice in choices]


def _under(
    choice: ModelChoice, photos: Sequence[Path], names: tuple[Name, ...], on_look: Callable[[str, Path], None]
) -> Row:
    try:
        segmenter = choice.load()
    except Exception as error:  # one model's failure, of whatever kind, must not lose the others
        return Row(choice.model, "", (one_line(error),) * len(photos))
    looks: list[Look | str] = []
    for photo in photos:
        on_look(choice.model, photo)
        try:
            looks.append(_look(segmenter, photo, names))
        except Exception as error:
            looks.append(f"{photo}: {one_line(error)}")
    row = Row(choice.model, _read_at(segmenter), tuple(looks))
    del segmenter
    gc.collect()  # before the next model takes its memory
    return row


def _look(segmenter: "Segmenter", path: Path, names: tuple[Name, ...]) -> Look:
    photo = load_image(path)
    result = segmenter(photo, names, present=range(len(names)), name_match=True)
    small = photo.resize(_shown_size(*photo.size), Image.Resampling.LANCZOS)
    assert result.name_match is not None  # it was asked for
    return Look(_overlay(small, result), _heats(small, result), result.name_match)


def _shown_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a photo on the sheet [px]."""
    scale = min(WIDTH / width, _HIGHEST / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _overlay(small: Image.Image, result: "Segmentation") -> Image.Image:
    """Drawn at the size that it is shown at, so that outlines and words can be seen."""
    labels = cv2.resize(result.labels, small.size, interpolation=cv2.INTER_NEAREST)
    entries = [
        entry(name.text, share, kept=True, match=None) for name, share in zip(result.names, result.shares, strict=True)
    ]
    return pictures.region_picture(small, labels, entries)


def _heats(small: Image.Image, result: "Segmentation") -> tuple[Image.Image, ...]:
    """All names' maps on one scale, so that they can be compared with each other."""
    maps = [cv2.resize(each, small.size, interpolation=cv2.INTER_LINEAR) for each in result.heatmaps.names]
    top = max(float(heat.max()) for heat in maps)
    return tuple(
        pictures.heat_picture(small, heat, name.text, top) for heat, name in zip(maps, result.names, strict=True)
    )


def _read_at(segmenter: "Segmenter") -> str:
    config, own = segmenter.config, segmenter.backbone.card.recommended
    is_own = config.all_heads == (own.heads or ((own.layer, own.head),))
    source = own.source if is_own else "as it was asked for"
    return f"{config.heads_in_words}, {config.image_size} px ({source})"
