"""A segmentation made by hand, for tests of what is done with one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pnpovss.config import Config, Settings
from pnpovss.names import Name
from pnpovss.results.heatmaps import HeatMaps
from pnpovss.results.labels import label_dtype
from pnpovss.results.provenance import Provenance
from pnpovss.results.segmentation import Segmentation

CAT_AND_SOFA = (Name("cat"), Name("sofa", ("couch", "settee")), Name("dog"))
PROVENANCE = Provenance(
    model="fake",
    revision="by-hand",
    preset="paper",
    config=Settings.model_validate(
        {**Config.preset("paper").without("crf").model_dump(), "layer": 0, "head": 0, "image_size": 16, "read": "names"}
    ),
    settings_source="by hand",
    prompts=("A picture of cat sofa couch settee dog",),
    device="cpu",
    dtype="float32",
    versions={"pnpovss": "0.0.1"},
)


def hand_made(**replaced: Any) -> Segmentation:
    """4 x 6 pixels: the cat is a 2 x 2 block, the sofa the two lowest rows but for it, the dog is not there."""
    labels = np.zeros((4, 6), np.uint8)
    labels[2:] = 2
    labels[1:3, 1:3] = 1
    scores = np.stack([np.where(labels == i + 1, 0.75, 0.0625) for i in range(3)]).astype(np.float32)
    fields: dict[str, Any] = {
        "labels": labels,
        "scores": scores,
        "background_score": 1 - scores.sum(0),
        "names": CAT_AND_SOFA,
        "kept": (0, 1, 2),
        "heatmaps": HeatMaps(
            names=np.array([[[0, 0], [4, 0]], [[0, 0], [1, 2]], [[0, 0], [0, 0]]], np.float32),
            words=("A", "picture", "of", "cat", "sofa", "couch", "settee", "dog"),
            word_maps=np.arange(32, dtype=np.float32).reshape(8, 2, 2),
            words_of_names=(3, 4, 5, 6, 7),
        ),
        "match": 0.875,
        "name_match": (0.9, 0.8, 0.05),
        "provenance": PROVENANCE,
    }
    return Segmentation(**{**fields, **replaced})


def labelled(labels: Any, names: Sequence[str], kept: Sequence[int] | None = None, **replaced: Any) -> Segmentation:
    """A whole segmentation around a label map: each pixel is sure of its label, heat maps are 0.

    Args:
        labels: 0 is the background, i + 1 the name at position i.
        names: what was asked for.
        kept: positions of the names that were looked for; None means all.
        replaced: other fields.
    """
    values = np.asarray(labels, label_dtype(len(names)))
    chosen = tuple(range(len(names))) if kept is None else tuple(kept)
    words = tuple(names[i] for i in chosen)
    maps = np.zeros((len(chosen), 2, 2), np.float32)
    fields: dict[str, Any] = {
        "labels": values,
        "scores": np.array([values == i + 1 for i in chosen], np.float32).reshape(len(chosen), *values.shape),
        "background_score": (values == 0).astype(np.float32),
        "names": tuple(map(Name, names)),
        "kept": chosen,
        "heatmaps": HeatMaps(maps, words, maps),
        "match": 0.5 if chosen else None,
        "name_match": None,
        "provenance": PROVENANCE,
    }
    return Segmentation(**{**fields, **replaced})
