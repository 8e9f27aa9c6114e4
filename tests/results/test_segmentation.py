"""Every form a result can leave in, checked on one that was made by hand."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.errors import ImageError, InvalidInputError, MissingExtraError, OutputError
from pnpovss.results import rle
from pnpovss.results.colours import colour, palette
from pnpovss.results.segmentation import Segmentation
from tests.support.results import hand_made, labelled


@pytest.fixture
def result() -> Segmentation:
    return hand_made()


def test_png_holds_labels_palette_and_names(result: Segmentation):
    with Image.open(io.BytesIO(result.png_bytes())) as picture:
        assert picture.mode == "P"
        assert (np.asarray(picture) == result.labels).all()
        shown = np.asarray(picture.convert("RGB"))
        assert json.loads(picture.info["names"]) == ["background", "cat", "sofa", "dog"]
        assert picture.info["software"] == "pnpovss 0.0.1"
    assert shown[0, 0].tolist() == [0, 0, 0]
    assert shown[1, 1].tolist() == list(colour(0))


def test_png_beyond_255_names_has_16_bits():
    many = labelled([[0, 299]], [f"n{i}" for i in range(300)])
    with Image.open(io.BytesIO(many.png_bytes())) as picture:
        assert np.asarray(picture).tolist() == [[0, 299]]
        assert len(json.loads(picture.info["names"])) == 301


def test_colours_are_stable_and_all_different():
    assert (palette(3) == palette(200)[:4]).all()
    assert len(np.unique(palette(200), axis=0)) == 201


def test_coco_regions(result: Segmentation):
    cat, sofa = result.to_coco_rle()
    assert {key: cat[key] for key in ("category_id", "category", "score", "area", "bbox")} == {
        "category_id": 1,
        "category": "cat",
        "score": 0.75,
        "area": 4,
        "bbox": [1, 1, 2, 2],
    }
    assert (rle.decode(sofa["segmentation"]) == (result.labels == 2)).all()
    assert isinstance(result.to_coco_rle(compressed=False)[0]["segmentation"]["counts"], list)


def test_pipeline_regions(result: Segmentation):
    cat, sofa = result.to_pipeline()
    assert (cat["label"], cat["score"], cat["mask"].mode) == ("cat", 0.75, "L")
    assert (np.asarray(sofa["mask"]) == 255 * (result.labels == 2)).all()


def test_supervision(result: Segmentation):
    supervision = pytest.importorskip("supervision")
    detections = result.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert detections.xyxy.tolist() == [[1, 1, 3, 3], [0, 2, 6, 4]]
    assert detections.class_id is not None
    assert detections.class_id.tolist() == [0, 1]
    assert detections.data["class_name"].tolist() == ["cat", "sofa"]
    assert (np.asarray(detections.mask)[0] == (result.labels == 1)).all()


def test_supervision_of_nothing():
    pytest.importorskip("supervision")
    assert len(labelled(np.zeros((4, 6)), ["cat"]).to_supervision()) == 0


def test_a_missing_extra_is_named(result: Segmentation, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pnpovss\[supervision\]'"):
        result.to_supervision()


def test_dict_is_json_and_tells_all(result: Segmentation):
    told = json.loads(json.dumps(result.to_dict()))
    assert [name["name"] for name in told["names"]] == ["cat", "sofa", "dog"]
    assert told["names"][1]["synonyms"] == ["couch", "settee"]
    assert told["names"][2] | {"provenance": 0} == {
        "name": "dog",
        "synonyms": [],
        "label": 3,
        "kept": True,
        "share": 0,
        "match": 0.05,
        "score": None,
        "bbox": None,
        "segmentation": None,
        "provenance": 0,
    }
    assert told["background"] == {"label": 0, "share": pytest.approx(10 / 24)}
    assert sum(name["share"] for name in told["names"]) + told["background"]["share"] == pytest.approx(1)
    assert told["provenance"]["config"]["crf"] is None
    assert told["provenance"]["config"]["dropout"]["passes"] == 4


def no_background() -> Segmentation:
    return labelled([[1, 2]], ["cat", "sofa"], background_score=None)


def test_without_a_background_none_is_told():
    assert no_background().to_dict()["background"] is None


@pytest.mark.parametrize("made", [hand_made, no_background])
def test_save_and_load_keep_everything(tmp_path: Path, made: Callable[[], Segmentation]):
    result = made()
    result.save(tmp_path / "cat.npz")
    again = Segmentation.load(tmp_path / "cat.npz")
    assert (again.names, again.kept) == (result.names, result.kept)
    assert again.provenance == result.provenance
    assert (again.match, again.name_match) == (result.match, result.name_match)
    assert again.heatmaps.words == result.heatmaps.words
    for ours, theirs in (
        (again.labels, result.labels),
        (again.scores, result.scores),
        (again.heatmaps.names, result.heatmaps.names),
        (again.heatmaps.word_maps, result.heatmaps.word_maps),
    ):
        assert ours.dtype == theirs.dtype
        assert (ours == theirs).all()
    assert again.has_background == result.has_background


def test_what_is_no_saved_segmentation_is_refused(tmp_path: Path, result: Segmentation):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    result.save(tmp_path / "good.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:800])
    for name in ("text.npz", "other.npz", "half.npz", "missing.npz"):
        with pytest.raises(InvalidInputError, match="is no saved segmentation"):
            Segmentation.load(tmp_path / name)


def test_save_into_nowhere_says_so(tmp_path: Path, result: Segmentation):
    with pytest.raises(OutputError, match="No such file or directory"):
        result.save(tmp_path / "nowhere" / "cat.npz")


def test_overlay_tints_regions_and_leaves_the_background():
    labels = np.zeros((100, 200), np.uint8)
    labels[:, :80] = 1
    photo = Image.new("RGB", (200, 100), (100, 100, 100))
    result = labelled(labels, ["cat", "sofa", "dog"])
    picture = np.asarray(result.overlay(photo))
    assert picture.shape[1] == 200
    assert picture.shape[0] > 100  # the legend
    assert picture[50, 150].tolist() == [100, 100, 100]
    assert picture[50, 40].tolist() == [round(0.5 * 100 + 0.5 * c) for c in colour(0)]
    assert (picture[100:] == colour(0)).all(-1).any()  # its swatch
    assert (np.asarray(photo) == 100).all()


def test_overlay_wraps_long_legends_and_shortens_long_names():
    few = hand_made().overlay(np.zeros((4, 6, 3), np.uint8))
    names = [f"a rather long name of a thing, number {i}" for i in range(12)]
    many = labelled(np.ones((4, 6)), names).overlay(np.zeros((4, 6, 3), np.uint8))
    assert many.width == few.width
    assert many.height > 3 * few.height  # a line each


def test_heat_picture(result: Segmentation):
    photo = Image.new("RGB", (6, 4), (200, 0, 0))
    warm = np.asarray(result.heat_picture(photo, "couch"))
    assert warm.shape[0] > 4
    cold = np.asarray(result.heat_picture(photo, "dog"))
    left = (cold.shape[1] - 6) // 2
    middle = cold[:4, left : left + 6]
    assert (middle == middle[0, 0, 0]).all()  # nothing found: plain gray
    with pytest.raises(KeyError, match="not in the prompt"):
        result.heat_picture(photo, "horse")


def test_a_name_is_found_by_any_spelling_of_it():
    found = labelled([[1, 2]], ["caf\u00e9", "potted plant"])
    assert found.index("cafe\u0301") == 0
    assert found.mask("potted  plant").tolist() == [[False, True]]
    assert found.heatmap("Caf\u00e9").shape == (1, 2)
    with pytest.raises(KeyError, match="'cafe' was not asked for; names: caf\u00e9, potted plant"):
        found.index("cafe")


def test_another_photo_is_refused(result: Segmentation):
    with pytest.raises(ImageError, match="of a photo of 6 x 4 pixels, this one has 7 x 4"):
        result.overlay(Image.new("RGB", (7, 4)))
