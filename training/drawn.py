"""Pseudo-maps as the whole method draws them: what a trained model finds with several looks teaches one look.

Names come from tables of labels, where there are some, and else from the guessed labels; those of one photo exclude one
another, because a pixel gets one label. No human mask is involved.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch.nn import functional as F

from pnpovss.backbones.base import Backbone
from pnpovss.config import Config
from pnpovss.segmenter import Segmenter
from training.photos import PhotoReader
from training.pseudo import open_pseudo

log = logging.getLogger(__name__)

FEW_LOOKS = {
    "presence": None,
    "dropout": None,
    "threshold": 0.1,
    "views.mirror": False,
    "views.tiles": [0.6],
    "crf.max_pixels": 60_000,  # ends at cells of a thirty-third of the photo anyway
}
"""How sharp photos are looked at: as boxes chose, see the notebook."""
MANY_LOOKS = {**FEW_LOOKS, "views.tiles": [0.6, 0.5], "views.tiles_across": 3}
"""Where a teacher can tell more from more looks: nineteen, those of `best` but for the mirror image."""


def draw_pseudo_maps(
    backbone: Backbone,
    names: Sequence[str],
    chosen: dict[int, list[int]],
    near: Bool[np.ndarray, " photo"],
    reader: PhotoReader,
    folder: Path,
    *,
    looks: Mapping[str, Any],
    cells: int,
) -> None:
    """Fill the arrays of `training.pseudo.PseudoMaps` for the photos of `chosen`; a filled one is not looked at again.

    Args:
        backbone: the teacher.
        names: the vocabulary.
        chosen: names of each photo.
        near: which photos are worth several looks; of small ones there is nothing to be seen from near.
        reader: the photos.
        folder: for the arrays.
        looks: settings for those.
        cells: of the maps, along a side.
    """
    out = open_pseudo(folder, len(near), cells**2, write=True)
    config = Config.preset("default", looks)
    methods = {True: Segmenter(backbone, config), False: Segmenter(backbone, config.without("views"))}
    for place, (photo, mine) in enumerate(chosen.items()):
        if not mine or out.filled(photo):
            continue
        labels = torch.from_numpy(methods[bool(near[photo])](reader[photo], [names[i] for i in mine]).labels)
        shares = torch.stack([labels == 1 + slot for slot in range(len(mine))]).float()
        cell = F.adaptive_avg_pool2d(shares, cells).flatten(1).numpy()
        out.fill(photo, mine, cell, 1)
        if place % 50 == 0:
            log.info("drawn pseudo-maps: %d of %d photos", place, len(chosen))
    for array in (out.maps, out.names, out.sure):
        array.flush()
