"""The bundled model on real photos, with nothing faked: things that are there are found where they are.

`examples/boxes.json` holds boxes drawn by hand. Not everything is found (`mini` is small); most things have to be.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pnpovss import NamesError, Segmentation, Segmenter
from pnpovss.cli.main import app
from pnpovss.images import load_image

EXAMPLES = Path(__file__).parent.parent / "examples"
BOXES: dict[str, dict[str, list[list[int]]]] = json.loads((EXAMPLES / "boxes.json").read_text())
NOT_THERE = ("elephant", "bicycle", "pizza")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.from_pretrained("mini", device="cpu")


@pytest.fixture(scope="module")
def results(segmenter: Segmenter) -> dict[str, Segmentation]:
    everything = Segmenter(segmenter.backbone, segmenter.config.without("presence"))
    return {photo: everything(EXAMPLES / photo, list(boxes)) for photo, boxes in BOXES.items()}


def in_boxes(photo: str, name: str, size: tuple[int, int]) -> np.ndarray:
    """Bool "h w": inside one of the name's boxes."""
    mask = np.zeros(size, bool)
    for left, top, right, bottom in BOXES[photo][name]:
        mask[top:bottom, left:right] = True
    return mask


def found(region: np.ndarray, box: np.ndarray) -> bool:
    """Most of the region is inside the box, and it is no mere speck of it."""
    inside = (region & box).sum()
    return bool(inside >= 0.5 * region.sum() and inside >= 0.15 * box.sum())


def test_boxes_are_within_their_photos():
    for photo, boxes in BOXES.items():
        width, height = load_image(EXAMPLES / photo).size
        for left, top, right, bottom in (box for several in boxes.values() for box in several):
            assert 0 <= left < right <= width, photo
            assert 0 <= top < bottom <= height, photo


def test_things_are_found_where_they_are(results: dict[str, Segmentation]):
    hits = {
        f"{photo}: {name}": found(result.mask(name), in_boxes(photo, name, result.size))
        for photo, result in results.items()
        for name in BOXES[photo]
    }
    assert sum(hits.values()) >= 0.7 * len(hits), hits


def test_the_model_looks_where_things_are(results: dict[str, Segmentation]):
    """Before refinement too: heat is higher inside the box than outside."""
    warmer = {}
    for photo, result in results.items():
        for name in BOXES[photo]:
            box, heat = in_boxes(photo, name, result.size), result.heatmap(name)
            warmer[f"{photo}: {name}"] = heat[box].mean() > heat[~box].mean()
    assert sum(warmer.values()) >= 0.7 * len(warmer), warmer


def test_names_that_are_there_match_better(segmenter: Segmenter):
    """Match scores rank what is in a photo above what is not: three pairs of four, and a coin would get two."""
    pairs = []
    for photo, boxes in BOXES.items():
        scores = segmenter(EXAMPLES / photo, [*boxes, *NOT_THERE], name_match=True).name_match
        assert scores is not None
        there, absent = scores[: len(boxes)], scores[len(boxes) :]
        pairs += [yes > no for yes in there for no in absent]
    assert sum(pairs) >= 0.75 * len(pairs)


def test_a_name_without_letters_it_knows_is_refused(segmenter: Segmenter):
    with pytest.raises(NamesError, match="cannot write the name '🐱'"):
        segmenter(EXAMPLES / "cat.jpg", ["🐱"])


def test_the_program_with_nothing_but_defaults(tmp_path: Path):
    photo = str(EXAMPLES / "cat.jpg")
    done = CliRunner().invoke(app, ["segment", photo, "--names", "cat", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "cat.json").read_text())
    assert record["provenance"]["model"] == "mini"
    assert record["names"][0]["share"] > 0.1
