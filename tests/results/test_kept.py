"""A name keeps its value, its colour and its number, whatever else is left out, in every form of a result."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.results.colours import colour
from pnpovss.results.segmentation import Segmentation
from tests.support.results import labelled

NAMES = ["cat", "cup", "rocket"]
MATCH = (0.91, 0.12, 0.34)


def only(index: int) -> Segmentation:
    """A photo of 20 x 10 whose left half is one of the names; the others are left out."""
    labels = np.zeros((10, 20), np.uint8)
    labels[:, :10] = index + 1
    return labelled(labels, NAMES, kept=(index,), name_match=MATCH)


def nothing() -> Segmentation:
    return labelled(np.zeros((10, 20)), NAMES, kept=(), name_match=MATCH)


@pytest.mark.parametrize("index", range(3))
def test_label_png(index: int):
    with Image.open(io.BytesIO(only(index).png_bytes())) as picture:
        assert np.asarray(picture)[0].tolist() == [index + 1] * 10 + [0] * 10
        assert np.asarray(picture.convert("RGB"))[0, 0].tolist() == list(colour(index))
        assert json.loads(picture.info["names"]) == ["background", *NAMES]
        assert picture.getpalette()[: 4 * 3] == [0, 0, 0, *colour(0), *colour(1), *colour(2)]


@pytest.mark.parametrize("index", range(3))
def test_overlay_and_its_legend(index: int):
    picture = np.asarray(only(index).overlay(Image.new("RGB", (20, 10))))
    left = (picture.shape[1] - 20) // 2
    assert picture[5, left + 5].tolist() == [round(0.5 * value) for value in colour(index)]
    swatches = [int((picture[10:] == colour(i)).all(-1).sum()) for i in range(3)]
    assert min(swatches) > 0, "each name is in the legend in its own colour"
    assert swatches[index] == max(swatches), "filled; the others are outlines"


@pytest.mark.parametrize("index", range(3))
def test_forms_for_other_programs(index: int):
    pytest.importorskip("supervision")
    result = only(index)
    [coco], [pipeline], found = result.to_coco_rle(), result.to_pipeline(), result.to_supervision()
    assert (coco["category_id"], coco["category"], pipeline["label"]) == (index + 1, NAMES[index], NAMES[index])
    assert found.class_id is not None
    assert found.class_id.tolist() == [index]
    assert found.data["class_name"].tolist() == [NAMES[index]]


@pytest.mark.parametrize("index", range(3))
def test_record(index: int):
    rows = only(index).to_dict()["names"]
    assert [row["name"] for row in rows] == NAMES
    assert [row["label"] for row in rows] == [1, 2, 3]
    assert [row["match"] for row in rows] == list(MATCH)
    assert [row["kept"] for row in rows] == [i == index for i in range(3)]
    assert [row["share"] for row in rows] == [0.5 if i == index else 0 for i in range(3)]
    assert [row["score"] for row in rows] == [1.0 if i == index else None for i in range(3)]


@pytest.mark.parametrize("result", [only(0), only(1), only(2), nothing()])
def test_npz(tmp_path: Path, result: Segmentation):
    result.save(tmp_path / "one.npz")
    again = Segmentation.load(tmp_path / "one.npz")
    assert (again.kept, again.names, again.name_match) == (result.kept, result.names, MATCH)
    assert (again.labels == result.labels).all()
    assert again.scores.shape == result.scores.shape
    assert again.to_dict() == result.to_dict()


def test_python():
    result = only(1)
    assert result.index("cup") == 1
    assert result.shares == (0, 0.5, 0)
    assert result.mask("cup").sum() == 100
    assert not result.mask("cat").any()
    assert result.heatmap("cup").shape == (10, 20)
    with pytest.raises(KeyError, match="'cat' was left out"):
        result.heatmap("cat")


def test_nothing_in_every_form():
    result = nothing()
    assert (result.shares, result.match, result.has_background) == ((0, 0, 0), None, True)
    assert result.scores.shape == (0, 10, 20)
    assert result.to_coco_rle() == result.to_pipeline() == []
    told = json.loads(json.dumps(result.to_dict()))
    assert told["background"]["share"] == 1
    assert told["match"] is None
    assert [row["kept"] for row in told["names"]] == [False] * 3
    with Image.open(io.BytesIO(result.png_bytes())) as picture:
        assert not np.asarray(picture).any()
    photo = Image.new("RGB", (20, 10), (90, 90, 90))
    picture = np.asarray(result.overlay(photo))
    left = (picture.shape[1] - 20) // 2
    assert (picture[:10, left : left + 20] == 90).all()


def test_nothing_for_supervision():
    pytest.importorskip("supervision")
    assert len(nothing().to_supervision()) == 0


def legend_ink(match: Sequence[float] | None) -> np.ndarray:
    """The legend of a result in which only the cat is kept."""
    labels = np.ones((10, 400), np.uint8)
    result = labelled(labels, NAMES, kept=(0,), name_match=match)
    return np.asarray(result.overlay(Image.new("RGB", (400, 10))))[10:]


def test_the_legend_shows_the_match_of_absent_names():
    assert not np.array_equal(legend_ink((0.9, 0.12, 0.3)), legend_ink((0.9, 0.13, 0.3)))
    assert np.array_equal(legend_ink((0.9, 0.12, 0.3)), legend_ink((0.8, 0.12, 0.3))), "kept names show their share"
    assert legend_ink(None).shape[1] == 400
