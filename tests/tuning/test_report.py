"""The page, its pictures, and the analysis against masks."""

from pathlib import Path

import numpy as np
import pytest

from pnpovss.config import Config
from pnpovss.errors import ConfigError
from pnpovss.names import Name
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.cells import cells_of
from pnpovss.tuning.gather import gather
from pnpovss.tuning.photos import TuningPhoto, TuningPhotos
from pnpovss.tuning.truth import agreement
from pnpovss.tuning.tune import tune
from tests.support.colours import colour_dataset
from tests.support.tuning import ColourJudge, two_heads

pytest.importorskip("matplotlib", reason="in the extra `tune`")


def test_the_page_shows_every_head_and_what_masks_say(tmp_path: Path) -> None:
    data = colour_dataset(tmp_path / "data", 16)
    segmenter = Segmenter(two_heads(), Config.preset("default", {"head": 1}))
    tuned = tune(segmenter, gather(data.root, dataset=data), tmp_path / "run", judge=ColourJudge(), truth=data)
    page = (tmp_path / "run/report.html").read_text()
    ends = {0.05: "the lowest that was tried", 0.45: "the highest that was tried"}
    assert ends.get(tuned.settings["threshold"], "tuned without pixel labels") in page
    assert ("that was tried: a better one" in page) == (tuned.settings["threshold"] in ends)
    assert page.count("data:image/jpeg") == 5 + 2 * 5  # photos, and two heads for each
    for said in ("0.0 at ", tuned.source, "Against masks", "keep-delete", "spatial-entropy", "behind"):
        assert said in page, said
    for picture in ("heads", "thresholds", "sheet"):
        assert (tmp_path / f"run/{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_masks_of_other_photos_or_names_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    data = colour_dataset(tmp_path / "data", 3)
    segmenter = Segmenter(two_heads(), Config.preset("default"))
    by_path = [(sample.image, ["red", "green"]) for sample in data]
    with pytest.raises(ConfigError, match=r"truth: .* has no photo '.*'; give the photos of that data set"):
        tune(segmenter, by_path, tmp_path / "run", judge=ColourJudge(), truth=data)
    purple = TuningPhotos.joined(
        [TuningPhoto(each.key, each.image, (Name("purple"),)) for each in data], [Name("red")], ""
    )
    with pytest.raises(ConfigError, match=r"has no masks of 'purple'"):
        tune(segmenter, purple, tmp_path / "run", judge=ColourJudge(), truth=data)
    assert not (tmp_path / "run").exists()


def test_nothing_in_the_page_is_markup_that_came_with_a_name(tmp_path: Path) -> None:
    data = colour_dataset(tmp_path / "data", 6)
    segmenter = Segmenter(two_heads(), Config.preset("default"))
    pairs = [(sample.image, ["red", "<script>alert(1)</script>"]) for sample in data]
    tune(segmenter, pairs, tmp_path / "run", judge="none")
    page = (tmp_path / "run/report.html").read_text()
    assert "<script" not in page
    assert not (tmp_path / "run/thresholds.png").exists()  # one threshold is no curve


def test_agreement_by_hand() -> None:
    cells = cells_of([((0, 0),), ((0, 1),), ((0, 2),)], [0.15])
    found = agreement("it", np.array([[1.0, 2, 3], [1, 2, 5]]), [0.3, 0.5, 0.4], cells)
    assert (found.pick, found.miou) == ("0.2 at 0.15", 0.4)
    assert found.lost == pytest.approx(0.1)
    assert found.correlation == pytest.approx(0.5)
