"""Look at every photo once: the maps of all heads of all layers, kept on the disk.

One encoding, one forward and one backward pass a photo; whatever is tried later reads the maps from there. A photo's
maps are written before its line in the journal, so that a killed collection goes on where it was.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.config import Heads
from pnpovss.errors import OutputError
from pnpovss.files.arrays import DAMAGE
from pnpovss.files.journal import Journal, Record, read_journal
from pnpovss.files.writing import write_all
from pnpovss.heads import HeadLook, all_heads, look_with_all_heads
from pnpovss.inputs import prepare
from pnpovss.names import Name
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.measures import MEASURES, measure
from pnpovss.tuning.photos import OnPhoto, TuningPhoto, TuningPhotos

__all__ = ["Collected", "collect", "one_look"]

_JOURNAL, _MAPS = "collected.jsonl", "maps"


@dataclass(frozen=True, eq=False)
class Collected:
    """The maps of all heads for all photos, on the disk.

    Attributes:
        folder: where they are.
        keys: of the photos, in order.
        heads: (layer, head) of each head that can be read.
        records: of each photo by key: its file, its names in the order of the maps, and each head's measures.
    """

    folder: Path
    keys: tuple[str, ...]
    heads: Heads
    records: dict[str, Record]

    def heat(self, photo: int) -> Float[Tensor, "head name gh gw"]:
        """The maps of one photo, as good as float16 holds them.

        Raises:
            OutputError: the file is missing or damaged.
        """
        path = self.folder / self.records[self.keys[photo]]["file"]
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                heat = stored["heat"].astype(np.float32) * stored["most"][..., None, None]
        except (*DAMAGE, KeyError) as error:
            raise OutputError(f"{path} cannot be read ({error}); remove the folder and collect again") from error
        return torch.from_numpy(heat)

    def measures(self) -> dict[str, Float[np.ndarray, "photo head"]]:
        """Every measure of each head in each photo."""
        records = [self.records[key] for key in self.keys]
        return {
            name: np.array([[own[name] for own in record["measures"]] for record in records], float)
            for name in MEASURES
        }


def one_look(segmenter: Segmenter) -> Segmenter:
    """The segmenter without what looks more than once, decides about names, or reads several heads."""
    config = segmenter.config.without("presence", "views", "dropout").replace({"heads": None})
    return segmenter.replace(config=config)


def collect(segmenter: Segmenter, photos: TuningPhotos, folder: Path, on_photo: OnPhoto | None = None) -> Collected:
    """Look at all photos that were not looked at before.

    Args:
        segmenter: whose model looks, at the size and with the prompt that its settings say.
        photos: each with the names that are asked for.
        folder: of the tuning; it exists.
        on_photo: told after each photo.

    Raises:
        ImageError: a photo that cannot be read.
        NamesError: a name that the model cannot read.
        OutputError: the folder cannot be written, another process collects into it, or a photo was looked at with
            other names, or with its names in another order.
    """
    looker = one_look(segmenter)
    heads = all_heads(looker.backbone.card, looker.config)
    keys = tuple(photo.key for photo in photos.photos)
    path, maps = folder / _JOURNAL, folder / _MAPS
    asked = {photo.key: _in_lists(photo.names) for photo in photos.photos}

    def check(record: Record) -> None:
        if (names := asked[record["key"]]) != record["names"]:
            raise ValueError(f"its maps are of {record['names']}, in this order, and {names} are asked for")

    records = read_journal(path, keys=keys, check=check)
    if len(records) < len(keys):
        maps.mkdir(exist_ok=True)
        with Journal(path, keys=keys, check=check) as journal:
            for done, photo in enumerate(photos.photos, start=1):
                if photo.key not in journal.records:
                    inputs = prepare(photo.image, photo.names, looker.backbone.card, looker.config)
                    looks = look_with_all_heads(looker.backbone, inputs, looker.config)
                    place = maps / f"{done - 1:05}.npz"
                    write_all({place: _packed(looks)})
                    journal.append(_record(photo, place.relative_to(folder), looks))
                if on_photo:
                    on_photo("collected", done, len(keys))
            records = journal.records
    return Collected(folder, keys, heads, records)


def _packed(looks: list[HeadLook]) -> bytes:
    """The maps as parts of their greatest values: gradients are too small for float16 as they are."""
    heat = torch.stack([look.maps for look in looks]).detach().cpu().numpy().astype(np.float32)
    most = heat.max((2, 3))
    content = io.BytesIO()
    parts = heat / np.where(most > 0, most, 1)[..., None, None]
    np.savez(content, heat=parts.astype(np.float16), most=most)
    return content.getvalue()


def _record(photo: TuningPhoto, place: Path, looks: list[HeadLook]) -> Record:
    measures = [{name: round(value, 7) for name, value in measure(look).items()} for look in looks]
    return {"key": photo.key, "file": place.as_posix(), "names": _in_lists(photo.names), "measures": measures}


def _in_lists(names: Sequence[Name]) -> list[list[str]]:
    """Names with their synonyms, as a record holds them."""
    return [list(name.all) for name in names]
