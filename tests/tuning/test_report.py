"""The page, its pictures, and the analysis against masks."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

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
from tests.support.fakes import colour_backbone
from tests.support.tuning import ColourJudge, TwoHeads, photos_of_colours, two_heads

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


@pytest.mark.parametrize(("thresholds", "compared"), [([0.15, 0.35], True), ([0.15], False)])
def test_what_masks_have_nothing_to_order_of_is_left_out_and_said(
    tmp_path: Path, thresholds: list[float], compared: bool, caplog: pytest.LogCaptureFixture
) -> None:
    data = colour_dataset(tmp_path / "data", 8)
    segmenter = Segmenter(two_heads(), Config.preset("default", {"heads": [[0, 0], [0, 1]]}))
    photos, choices = gather(data.root, dataset=data), {"search": ["threshold"], "thresholds": thresholds}
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), truth=data, **choices)
    assert (tmp_path / "run/tuned.json").read_bytes() == tuned.as_json
    said = f"single heads that were tried on all photos at the threshold {tuned.settings['threshold']:g}: 0, expected"
    page = (tmp_path / "run/report.html").read_text().partition("Against masks")[2]
    assert said in page
    assert said in caplog.text
    table = page.partition("<h2>")[0]
    assert ("keep-delete" in table) == compared
    assert ("Rewards are not compared: mean of 0.0, 0.1 at 0.15 is all that was tried" in page) != compared
    assert "spatial-entropy</td>" not in table


class EqualJudge(ColourJudge):
    """Cannot tell one name from another."""

    def logits(self, pixels: torch.Tensor, names) -> torch.Tensor:
        return torch.zeros_like(super().logits(pixels, names))


def test_a_reward_that_is_the_same_everywhere_is_said_to_choose_nothing(tmp_path: Path) -> None:
    data = colour_dataset(tmp_path / "data", 8)
    segmenter = Segmenter(two_heads(), Config.preset("default"))
    tune(segmenter, gather(data.root, dataset=data), tmp_path / "run", judge=EqualJudge(), truth=data, exhaustive=True)
    page = (tmp_path / "run/report.html").read_text().partition("<h2>Against masks")[2].partition("<h2>")[0]
    assert "The reward keep-delete is the same for all that was tried, and chooses nothing" in page
    assert "nan" not in page
    assert "spatial-entropy</td>" in page


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


def test_heads_that_were_tried_on_all_photos_come_first(tmp_path: Path) -> None:
    segmenter = Segmenter(TwoHeads(colour_backbone().attention, heads={0: 6}, grid=4, name="fake"))
    photos = photos_of_colours(tmp_path / "data", 24)
    tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), thresholds=[0.15])
    rows = csv.DictReader((tmp_path / "run/heads.csv").read_text().splitlines())
    tried_on = {f"{row['layer']}.{row['head']}": int(row["photos"]) for row in rows}
    assert list(tried_on.values()) == [18, 16, 18, 18, 18, 16]
    shown = re.findall(r'<th scope="row">(\d\.\d)', (tmp_path / "run/report.html").read_text())
    assert [tried_on[head] for head in shown] == [18] * 4 + [16] * 2


def test_agreement_by_hand() -> None:
    cells = cells_of([((0, 0),), ((0, 1),), ((0, 2),)], [0.15])
    found = agreement("it", np.array([[1.0, 2, 3], [1, 2, 5]]), [0.3, 0.5, 0.4], cells)
    assert (found.pick, found.miou) == ("0.2 at 0.15", 0.4)
    assert found.lost == pytest.approx(0.1)
    assert found.correlation == pytest.approx(0.5)
