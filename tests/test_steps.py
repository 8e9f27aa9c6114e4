"""Every step on one photo, on a backbone whose attention is set by hand and with the real model."""

from pathlib import Path

import numpy as np
import pytest

from pnpovss.errors import NamesError
from pnpovss.segmenter import Segmenter
from pnpovss.steps import steps_of
from tests.support.dual_encoders import PREPROCESSING, save_dual_encoder

PHOTO = Path(__file__).parent.parent / "examples/dog.jpg"


@pytest.fixture(scope="module")
def paper() -> Segmenter:
    return Segmenter.from_pretrained("mini", preset="paper")


@pytest.fixture(scope="module")
def steps(paper: Segmenter):
    return steps_of(paper, PHOTO, ["dog", "bicycle"])


def test_the_steps_end_where_the_segmenter_does(paper: Segmenter, steps):
    result = paper(PHOTO, ["dog", "bicycle"])
    assert (steps.stages["Dense CRF"] == result.labels).all()
    assert np.allclose(steps.maps["4 passes"], result.heatmaps.names, rtol=1e-5, atol=1e-7)


def test_each_step_does_what_it_says(steps):
    assert list(steps.maps) == ["attention", "GradCAM", "4 passes", "threshold"]
    assert list(steps.stages) == ["threshold", "blur", "Dense CRF"]
    assert [round(float(each.kept.mean()), 2) for each in steps.passes] == [1.0, 0.5, 0.25, 0.12]
    for earlier, later in zip(steps.passes, steps.passes[1:], strict=False):
        assert not (later.kept & ~earlier.kept).any(), "what is blanked stays blank"
        assert not later.maps[:, ~later.kept].any()
    total, cut = steps.maps["4 passes"], steps.maps["threshold"]
    assert ((cut == total) | (cut == 0)).all()
    assert (cut == 0).sum() > (total == 0).sum()


def test_steps_that_are_off_are_not_shown(paper: Segmenter):
    plain = Segmenter(paper.backbone, paper.config.without("gradcam", "dropout", "blur", "crf"))
    steps = steps_of(plain, PHOTO, ["dog"])
    assert list(steps.maps) == ["attention", "threshold"]
    assert list(steps.stages) == ["threshold"]
    assert len(steps.passes) == 1


def test_steps_of_a_model_that_is_read_by_its_gradients(tmp_path: Path):
    save_dual_encoder(tmp_path, "clip", PREPROCESSING["clip"])
    segmenter = Segmenter.from_pretrained(str(tmp_path), preset="paper", settings={"read": "legrad"})
    steps = steps_of(segmenter, PHOTO, ["dog", "cat"])
    assert list(steps.maps) == ["attention", "LeGrad", "4 passes", "threshold"]
    config = segmenter.config.without("gradcam", "dropout").replace({"read": "answer", "heads": segmenter.config.heads})
    looked = segmenter.replace(config=config)(PHOTO, ["dog", "cat"])
    assert np.array_equal(steps.maps["attention"], looked.heatmaps.names)
    assert not np.allclose(steps.maps["attention"], steps.maps["LeGrad"])


def test_names_that_are_absent_have_no_steps():
    segmenter = Segmenter.from_pretrained("mini")
    assert steps_of(segmenter, PHOTO, ["dog", "pizza"]).names == ("dog",)
    with pytest.raises(NamesError, match="none of pizza is held to be in the photo"):
        steps_of(segmenter, PHOTO, ["pizza"])


def test_the_pages_are_drawn(steps):
    pytest.importorskip("matplotlib", reason="in the extra `figures`")
    page = steps.figure(PHOTO)
    titles = [axes.get_title() for axes in page.axes if axes.get_title()]
    assert titles[:4] == ["dog: attention", "dog: GradCAM", "dog: 4 passes", "dog: threshold"]
    assert titles[-4:] == ["the photo", "labels after threshold", "labels after blur", "labels after Dense CRF"]
    assert len(steps.passes_figure(PHOTO).axes) == 11
    assert steps.animation(PHOTO, "webp")[8:12] == b"WEBP"
