"""Show the collected masks to the judge, a photo at a time, and keep what it says on the disk."""

import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pnpovss.config import Heads
from pnpovss.errors import OutputError
from pnpovss.files.arrays import DAMAGE
from pnpovss.files.journal import Journal, Record, read_journal
from pnpovss.files.writing import write_all
from pnpovss.images import load_image
from pnpovss.tuning.cells import Cell, Masking, masks_of
from pnpovss.tuning.collect import Collected
from pnpovss.tuning.halving import Round, survivors
from pnpovss.tuning.judges import Judge
from pnpovss.tuning.photos import OnPhoto, TuningPhotos
from pnpovss.tuning.rewards import REWARDS
from pnpovss.tuning.similarities import Similarities, judged

__all__ = ["Scores", "score"]


@dataclass(frozen=True, eq=False)
class Scores:
    """What the judge said, of all photos and the cells that were tried on each.

    Attributes:
        folder: of the tuning.
        keys: of the photos, in order.
        cells: all that were to be tried.
        records: of each photo by key: its file, and the columns of the cells that were tried on it.
    """

    folder: Path
    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    records: dict[str, Record]

    def similarities(self, photo: int) -> Similarities:
        """What was said of one photo.

        Raises:
            OutputError: the file is missing or damaged.
        """
        path = self.folder / self.records[self.keys[photo]]["file"]
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                names, rows, kept, deleted = (stored[part] for part in ("names", "rows", "kept", "deleted"))
        except (*DAMAGE, KeyError) as error:
            raise OutputError(f"{path} cannot be read ({error}); remove the folder and score again") from error
        return Similarities(tuple(names.tolist()), rows, kept, deleted)

    @cached_property
    def rewards(self) -> dict[str, Float[np.ndarray, "photo cell"]]:
        """Every reward of each cell in each photo; NaN where a cell was not tried."""
        table = {name: np.full((len(self.keys), len(self.cells)), np.nan) for name in REWARDS}
        for photo, key in enumerate(self.keys):
            if key in self.records:
                seen, tried = self.similarities(photo), self.records[key]["cells"]
                for name, reward in REWARDS.items():
                    table[name][photo, tried] = reward(seen)
        return table

    @property
    def tried_on_all(self) -> list[int]:
        """Columns of the cells that every photo was seen through."""
        return sorted(set.intersection(*(set(self.records[key]["cells"]) for key in self.keys)))


def score(
    stage: str,
    collected: Collected,
    photos: TuningPhotos,
    cells: Sequence[Cell],
    judge: Judge,
    reward: Callable[[Similarities], Float[np.ndarray, " cell"]],
    plan: Sequence[Round],
    *,
    masking: Masking = "level",
    always: Collection[int] = (),
    on_photo: OnPhoto | None = None,
) -> Scores:
    """Try the cells on the photos by a plan of rounds; each photo is shown once, through the cells that are left.

    Args:
        stage: names the journal, so that cells can be tried in several stages.
        collected: the maps.
        photos: those that were collected, in the same order.
        cells: what is tried; those of the same heads side by side.
        judge: who looks.
        reward: by which the cells of the next round are chosen.
        plan: from `rounds`.
        masking: how masks are made.
        always: columns of cells that stay in all rounds.
        on_photo: told after each photo.

    Raises:
        OutputError: the folder cannot be written, or another process scores into it.
    """
    path, folder = collected.folder / f"{stage}.jsonl", collected.folder / stage
    found = read_journal(path, keys=collected.keys)
    if len(found) == len(collected.keys):
        return Scores(collected.folder, collected.keys, tuple(cells), found)
    folder.mkdir(exist_ok=True)
    with Journal(path, keys=collected.keys) as journal:
        scores = Scores(collected.folder, collected.keys, tuple(cells), journal.records)
        table = np.full((len(collected.keys), len(cells)), np.nan)
        alive, start, groups = list(range(len(cells))), 0, _compared(cells)
        for each in plan:
            alive = survivors(table[:start], alive, each.cells, groups, always) if start else alive
            for photo in range(start, each.until):
                key = collected.keys[photo]
                if key not in journal.records:
                    seen = _show(collected, photos, photo, [cells[i] for i in alive], judge, masking)
                    place = folder / f"{photo:05}.npz"
                    write_all({place: _packed(seen)})
                    entry = {"key": key, "file": place.relative_to(collected.folder).as_posix(), "cells": alive}
                    journal.append(entry)
                table[photo, journal.records[key]["cells"]] = reward(scores.similarities(photo))
                if on_photo:
                    on_photo(stage, photo + 1, len(collected.keys))
            start = each.until
    return Scores(collected.folder, collected.keys, tuple(cells), journal.records)


def _compared(cells: Sequence[Cell]) -> Sequence[Heads | Cell]:
    """Of each cell, what the answer is compared with: other heads, or other thresholds where the heads are the same."""
    heads = [cell.heads for cell in cells]
    return heads if len(set(heads)) > 1 else cells


def _show(
    collected: Collected, photos: TuningPhotos, photo: int, cells: Sequence[Cell], judge: Judge, masking: Masking
) -> Similarities:
    own = photos.photos[photo]
    pixels = judge.pixels(load_image(own.image))
    size = (pixels.shape[1], pixels.shape[2])
    masks = masks_of(cells, collected.heat(photo), collected.heads, size, masking)
    return judged(judge, pixels, photos.asked(own), masks, photos.vocabulary)


def _packed(seen: Similarities) -> bytes:
    content = io.BytesIO()
    np.savez(content, names=np.array(seen.names), rows=seen.rows, kept=seen.kept, deleted=seen.deleted)
    return content.getvalue()
