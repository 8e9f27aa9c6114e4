"""A segmentation made by hand, for tests of what is done with one."""

from typing import Any

import numpy as np

from pnpovss.config import Config
from pnpovss.names import Name
from pnpovss.results.segmentation import HeatMaps, Provenance, Segmentation

CAT_AND_SOFA = (Name("cat"), Name("sofa", ("couch", "settee")), Name("dog"))


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
        "heatmaps": HeatMaps(
            names=np.array([[[0, 0], [4, 0]], [[0, 0], [1, 2]], [[0, 0], [0, 0]]], np.float32),
            words=("A", "picture", "of", "cat", "sofa", "couch", "settee", "dog"),
            word_maps=np.arange(32, dtype=np.float32).reshape(8, 2, 2),
        ),
        "match": 0.875,
        "name_match": (0.9, 0.8, 0.05),
        "provenance": Provenance(
            model="fake",
            revision="by-hand",
            preset="paper",
            config=Config.preset("paper").without("crf").replace({"layer": 0, "head": 0, "image_size": 16}),
            settings_source="by hand",
            prompts=("A picture of cat sofa couch settee dog",),
            device="cpu",
            dtype="float32",
            versions={"pnpovss": "0.0.1"},
        ),
    }
    return Segmentation(**{**fields, **replaced})
