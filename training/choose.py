"""Choose settings without masks: which agree best with an independent teacher on photos that were not trained on.

The teacher is the class activation map of the frozen trunk drawn to the photo's edges (`training.cam`): it never
saw the text side whose maps are judged, and it is no human's mask. It prefers settings that find the same things; where
both are wrong in the same way it cannot tell.
"""

import csv
import logging
from pathlib import Path

import cv2
import numpy as np
import torch

from pnpovss.backbones.base import Backbone
from pnpovss.config import Config
from pnpovss.segmenter import Segmenter
from training.batches import FitConfig
from training.cam import CamTeacher
from training.features import load_trunk
from training.pseudo import CRF_SIDE, cut_out, walk
from training.workspace import Workspace

log = logging.getLogger(__name__)

_ONE = {"dropout": None, "image_size": 320}
_FOUR = {"dropout.passes": 4, "dropout.drop": 0.05, "image_size": 320}
CANDIDATES: dict[str, dict[str, object]] = {
    "one look": _ONE,
    "one look, attention alone": {**_ONE, "gradcam": False},
    "one look, 256 px": {**_ONE, "image_size": 256},
    "one look, 288 px": {**_ONE, "image_size": 288},
    "one look, 384 px": {**_ONE, "image_size": 384},
    "2 passes, a fifth": {**_FOUR, "dropout.passes": 2, "dropout.drop": 0.2},
    "2 passes, a fifth, 384 px": {**_FOUR, "dropout.passes": 2, "dropout.drop": 0.2, "image_size": 384},
    "4 passes, a twentieth": _FOUR,
    "4 passes, a twentieth, 288 px": {**_FOUR, "image_size": 288},
    "4 passes, a twentieth, threshold 0.1": {**_FOUR, "threshold": 0.1},
    "4 passes, a twentieth, blur 0.03": {**_FOUR, "blur.sigma": 0.03},
    "4 passes, a tenth": {**_FOUR, "dropout.drop": 0.1},
}


def judged_names(work: Workspace, photo: int, rival: np.ndarray, most: int = 3) -> list[int]:
    """Names of a photo that exclude one another, familiar ones first."""
    here = np.flatnonzero(work.labels[photo] > 0)
    counts = (work.labels[:, here] > 0).sum(0)
    order = here[np.argsort(-work.name_weights[here] * counts**0.25)]
    chosen: list[int] = []
    for name in order:
        if all(rival[name, other] for other in chosen) and rival[name].any():
            chosen.append(int(name))
    return chosen[:most]


def teacher_masks(
    work: Workspace, teacher: CamTeacher, photo: int, names: list[int], rival: np.ndarray
) -> list[np.ndarray]:
    """Bool masks of `CRF_SIDE` x `CRF_SIDE`, one a name."""
    features = work.batches(FitConfig()).load(np.array([photo]), augment=False).features
    maps, side = walk(teacher(features, [names])[0], features)[0], work.tokens
    coarse = cut_out(maps, rival[np.ix_(names, names)], work.reader.square(photo, CRF_SIDE), side)
    return [cv2.resize(each.reshape(side, side), (CRF_SIDE, CRF_SIDE)) > 0.5 for each in coarse]


def choose(work: Workspace, backbone: Backbone, out: Path, count: int = 60) -> None:
    """Judge every candidate on `count` photos and write a table, the best first."""
    rival = np.load(work.cache / "rivals.npy")
    teacher = CamTeacher(load_trunk(torch.device("cpu")), np.load(work.cache / "cam.npy"), work.vocabulary.leaves)
    photos = np.flatnonzero(work.validation & (work.source != "imagenet"))
    np.random.default_rng(0).shuffle(photos)
    cases = []
    for photo in photos:
        names = judged_names(work, int(photo), rival)
        masks = teacher_masks(work, teacher, int(photo), names, rival) if names else []
        if names and all(0.02 < mask.mean() < 0.8 for mask in masks):
            cases.append((int(photo), names, masks))
        if len(cases) == count:
            break
    rows = []
    for title, overrides in CANDIDATES.items():
        segmenter = Segmenter(backbone, Config.preset("default", overrides))
        overlaps = []
        for photo, names, masks in cases:
            words = [work.vocabulary.names[name] for name in names]
            labels = segmenter(work.reader[photo], words).labels
            small = cv2.resize(labels, (CRF_SIDE, CRF_SIDE), interpolation=cv2.INTER_NEAREST)
            overlaps += [((small == i + 1) & m).sum() / ((small == i + 1) | m).sum() for i, m in enumerate(masks)]
        rows.append((title, float(np.mean(overlaps))))
        log.info("%-28s %.3f over %d names", *rows[-1], len(overlaps))
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["settings", "mean overlap with the teacher"])
        writer.writerows((title, f"{value:.4f}") for title, value in sorted(rows, key=lambda row: -row[1]))
