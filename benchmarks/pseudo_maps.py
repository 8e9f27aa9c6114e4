"""Judge by boxes the pseudo-maps that would teach mini's next distillation, under several cuts of their height.

    python -m benchmarks.pseudo_maps --data DIR --cache DIR --stage distill-1 [--limit 103] [--out FILE]

DIR of `--data` is that of `python -m training`, with voc2012-train-448.tar and voc2012-train-boxes.json in it;
`--cache` is its cache. The teachers are those of `training.stages`: class activation maps alone, as in the first round,
and the stage's attention with them, as in the later ones. A thing's map becomes a region where it is above a half. For
the columns see `benchmarks.boxes`; "empty" is the share of maps that training would not use for being too small. Oracle
names. These photos are for choosing; no number on them is a result.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.boxes import Judged, judge, read_photos, summary
from pnpovss.densecrf import DenseCRF
from training.cam import CamTeacher
from training.features import MEAN, STD, load_trunk
from training.prompts import name_ids
from training.pseudo import CRF_SIDE, TERMS, PseudoTargets, StudentTeacher, Teacher, compete, to_edges, walk
from training.relations import rival_names
from training.workspace import Workspace

CUTS = ((0.10, 0.60), (0.05, 0.40), (0.05, 0.30), (0.05, 0.20))
SIDE = 132
"""Pixels along a side of the judged regions."""


def main() -> None:
    """Print a table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pseudo_maps", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    work = Workspace(options.data, options.cache, options.wordnet)
    lines = table(judged(work, options.stage, options.limit))
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


@torch.no_grad()
def judged(work: Workspace, stage: str, limit: int | None) -> dict[tuple[str, tuple[float, float]], list[Judged]]:
    """What each teacher's maps are worth, by teacher and cut; in the order of the photos and their things."""
    index, rival = work.vocabulary.index, rival_names(work.vocabulary, work.wordnet)
    model = work.restore(work.cache / stage / "last.pt").eval()
    first = CamTeacher(load_trunk(torch.device("cpu")), np.load(work.cache / "cam.npy"), work.vocabulary.leaves)
    both = StudentTeacher(model, name_ids(work.vocabulary.names), first)
    teachers: dict[str, Teacher] = {"class activation maps": first, f"{stage} and those": both}
    found = defaultdict(list)
    for image, things in read_photos(work.data, limit):
        known = [thing for thing in things if thing.boxes and thing.word in index]
        names = [index[thing.word] for thing in known]
        if not names:
            continue
        pixels = np.asarray(image.resize((work.side, work.side), Image.Resampling.BICUBIC), np.float32)
        features = model.image_features((torch.from_numpy(pixels).permute(2, 0, 1)[None] - MEAN) / STD)
        crf = DenseCRF(np.asarray(image.resize((CRF_SIDE, CRF_SIDE), Image.Resampling.BICUBIC)), pairwise=TERMS)
        for title, teacher in teachers.items():
            maps = compete(walk(teacher(features, [names])[0], features)[0], rival[np.ix_(names, names)]).numpy()
            for thing, coarse in zip(known, maps, strict=True):
                y, x = np.unravel_index(coarse.argmax(), (work.tokens, work.tokens))
                peak = ((y + 0.5) / work.tokens, (x + 0.5) / work.tokens)
                for cut in CUTS:
                    cells = to_edges(coarse, crf, work.cells, cut).reshape(work.cells, work.cells)
                    region = cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) > 0.5
                    found[title, cut].append(judge(region, peak, thing))
    return found


def table(found: dict[tuple[str, tuple[float, float]], list[Judged]]) -> list[str]:
    """Markdown, a row for each teacher and cut."""
    lines = ["| teacher | cut | bound | by size | times too large | inside | empty |", "|---|---|---|---|---|---|---|"]
    for (title, cut), own in found.items():
        said = summary(own)
        sizes = ", ".join(f"{value:.1f}" for key, value in said.items() if key.startswith("bound "))
        times = ", ".join(f"{value:.2f}" for key, value in said.items() if key.startswith("times"))
        empty = np.mean([each.size < PseudoTargets.LEAST for each in own])
        lines.append(
            f"| {title} | {cut[0]:g}, {cut[1]:g} | {said['bound']:.1f} | {sizes} | {times} | {said['inside']:.0f} "
            f"| {100 * empty:.0f}% |"
        )
    return lines


if __name__ == "__main__":
    main()
