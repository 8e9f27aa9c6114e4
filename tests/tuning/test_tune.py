"""From photos and names to tuned.json, and from there into results."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pnpovss
from pnpovss.backbones import registry
from pnpovss.config import Config
from pnpovss.errors import ConfigError, InvalidInputError, OutputError
from pnpovss.presets import read_preset
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.collect import collect
from pnpovss.tuning.photos import TuningPhotos
from pnpovss.tuning.tune import tune
from tests.support.fakes import FakeBackbone, colour_backbone, fake_spec
from tests.support.program_calls import Call
from tests.support.tuning import ColourJudge, TwoHeads, photos_of_colours, two_heads


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(two_heads(), Config.preset("default", {"head": 1}))


def test_the_head_that_looks_at_what_it_is_asked_for_is_found(segmenter: Segmenter, tmp_path: Path) -> None:
    photos = photos_of_colours(tmp_path / "data", 24)
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge())
    assert (tuned.settings["layer"], tuned.settings["head"]) == (0, 0)
    assert tuned.wins == 1
    assert tuned.lead is not None
    assert tuned.lead.low > 0
    assert tuned.undecided_between == ()
    assert (tuned.photos, tuned.reward, tuned.judge, tuned.judged_itself) == (18, "keep-delete", "colours", False)
    rows = read_rows(tmp_path / "run/cells.csv")
    assert rows[0]["heads"] == "0.0"
    assert {row["heads"] for row in rows} == {"0.0", "0.1"}
    assert int(rows[0]["photos"]) == 18
    assert int(rows[-1]["photos"]) == 16  # the plainly worse were not shown to the judge any more


def test_heads_without_gradients_are_not_tried(tmp_path: Path) -> None:
    backbone = TwoHeads(colour_backbone().attention, heads={0: 2, 1: 2}, grid=4, name="fake", gradientless=(1,))
    tune(Segmenter(backbone), photos_of_colours(tmp_path / "data"), tmp_path / "run", judge=ColourJudge())
    assert {row["heads"] for row in read_rows(tmp_path / "run/cells.csv")} == {"0.0", "0.1"}


@pytest.mark.parametrize("reward", ["keep-delete", "vocabulary", "margin", "paper"])
def test_every_reward_finds_it(segmenter: Segmenter, tmp_path: Path, reward: str) -> None:
    photos = photos_of_colours(tmp_path / "data", 12)
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), reward=reward)
    assert tuned.settings["head"] == 0


@pytest.mark.parametrize("reward", ["margin", "paper"])
def test_rewards_of_a_photos_own_names_want_a_photo_of_two(segmenter: Segmenter, tmp_path: Path, reward: str) -> None:
    photos, judge = [(image, names[:1]) for image, names in photos_of_colours(tmp_path / "data", 6)], ColourJudge()
    single = TuningPhotos.of(photos, vocabulary=["red", "blue"])
    with pytest.raises(InvalidInputError, match=f"{reward}.* photos has two, .* take the reward keep-delete"):
        tune(segmenter, single, tmp_path / "run", judge=judge, reward=reward)
    assert not (tmp_path / "run").exists()
    one_of_two = TuningPhotos.of([(photos[0][0], ["red", "blue"]), *photos[1:]])
    assert tune(segmenter, one_of_two, tmp_path / "run", judge=judge, reward=reward, report=False).reward == reward


def test_the_paper_to_the_letter(segmenter: Segmenter, tmp_path: Path) -> None:
    photos = photos_of_colours(tmp_path / "data", 12)
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), reward="paper", search=["paper"])
    assert tuned.searched == "the authors' space by annealing, 34 trials"
    assert tuned.settings["head"] == 0
    rows = read_rows(tmp_path / "run/cells.csv")
    assert len(rows) == 10  # all of them on all photos
    assert {row["photos"] for row in rows} == {"9"}


def test_the_paper_may_start_from_a_mean_of_heads(tmp_path: Path) -> None:
    own = Segmenter(two_heads(), Config.preset("default", {"heads": [[0, 0], [0, 1]]}))
    photos = photos_of_colours(tmp_path / "data", 12)
    tuned = tune(own, photos, tmp_path / "run", judge=ColourJudge(), reward="paper", search=["paper"])
    assert tuned.settings["head"] == 0
    assert "mean of 0.0, 0.1" in {row["heads"] for row in read_rows(tmp_path / "run/cells.csv")}


def test_the_model_looks_once_and_a_finished_tuning_costs_nothing(segmenter: Segmenter, tmp_path: Path) -> None:
    photos, judge = photos_of_colours(tmp_path / "data", 12), ColourJudge()
    first = tune(segmenter, photos, tmp_path / "run", judge=judge)
    backbone = segmenter.backbone
    assert isinstance(backbone, TwoHeads)
    assert backbone.matches == len(photos)
    assert len(backbone.encoded) == len(photos)
    looks = judge.looks
    again = tune(segmenter, photos[::-1], tmp_path / "run", judge=judge)
    assert (backbone.matches, judge.looks) == (len(photos), looks)
    assert again.model_dump(exclude={"created"}) == first.model_dump(exclude={"created"})


class Stop(Exception):
    """Ends a tuning where it is."""


def test_names_in_another_order_are_the_same_when_a_stopped_tuning_goes_on(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    pairs = photos_of_colours(tmp_path / "data", 12)
    swapped = [(image, names[::-1]) for image, names in pairs]
    assert swapped != pairs

    def tuned(photos: list, folder: str, stop: Callable[[str, int, int], None] | None = None) -> dict:
        found = tune(segmenter, photos, tmp_path / folder, judge=ColourJudge(), report=False, on_photo=stop)
        return found.model_dump(exclude={"created"})

    def stop(what: str, done: int, of: int) -> None:
        if (what, done) == ("scored", 3):
            raise Stop

    with pytest.raises(Stop):
        tuned(pairs, "stopped", stop)
    assert tuned(swapped, "stopped") == tuned(pairs, "whole")
    assert (tmp_path / "stopped/cells.csv").read_bytes() == (tmp_path / "whole/cells.csv").read_bytes()


def test_maps_are_not_taken_for_those_of_other_names(segmenter: Segmenter, tmp_path: Path) -> None:
    pairs = [(image, names) for image, names in photos_of_colours(tmp_path / "data", 12) if len(names) > 1]
    (tmp_path / "run").mkdir()
    collect(segmenter, TuningPhotos.of(pairs), tmp_path / "run")
    swapped = TuningPhotos.of([(image, names[::-1]) for image, names in pairs])
    with pytest.raises(OutputError, match=r"its maps are of .*, in this order, and .* are asked for"):
        collect(segmenter, swapped, tmp_path / "run")


def test_without_a_judge_the_threshold_stays_as_it_was(segmenter: Segmenter, tmp_path: Path) -> None:
    photos = photos_of_colours(tmp_path / "data", 12)
    tuned = tune(segmenter, photos, tmp_path / "run", judge="none")
    assert (tuned.reward, tuned.judge) == ("spatial-entropy", "none")
    assert tuned.settings == {"layer": 0, "head": tuned.settings["head"], "threshold": 0.15}
    rows = read_rows(tmp_path / "run/heads.csv")
    best = max(rows, key=lambda row: float(row["spatial-entropy"]))
    assert int(best["head"]) == tuned.settings["head"]


def test_the_mean_of_heads_is_tried_and_becomes_a_setting(tmp_path: Path) -> None:
    segmenter = Segmenter(FakeBackbone(two_heads().attention, heads={0: 2}, grid=4, name="fake"))
    photos = photos_of_colours(tmp_path / "data", 12)
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), means=(2, 3))  # both heads see the same
    rows = read_rows(tmp_path / "run/cells.csv")
    assert "mean of 0.0, 0.1" in {row["heads"] for row in rows}
    config = segmenter.config.replace({"heads": [[0, 0], [0, 1]], "threshold": 0.25})
    own = Segmenter(segmenter.backbone, config)
    again = tune(own, photos, tmp_path / "own", judge=ColourJudge(), search=["threshold"])
    assert again.settings["heads"] == [[0, 0], [0, 1]]
    assert again.settings["threshold"] == tuned.settings["threshold"]


def test_of_thresholds_alone_it_is_told_how_sure_the_threshold_is(tmp_path: Path) -> None:
    segmenter, photos = Segmenter(two_heads()), photos_of_colours(tmp_path / "data", 8)
    alike = [0.15, 0.15000001]  # the same masks, so that each is first in every draw
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), search=["threshold"], thresholds=alike)
    assert (tuned.wins, tuned.lead, tuned.undecided_between) == (0.5, None, ())
    page = (tmp_path / "run/report.html").read_text()
    assert "This threshold comes first in 50% of the draws of photos, among 2 thresholds tried on all; no other" in page


def test_how_sure_one_threshold_alone_is_is_unknown(tmp_path: Path) -> None:
    segmenter, photos = Segmenter(two_heads()), photos_of_colours(tmp_path / "data", 4)
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), search=["threshold"], thresholds=[0.15])
    assert (tuned.wins, tuned.lead, tuned.compared) == (None, None, None)
    assert "how sure is unknown, since nothing else was tried on all photos" in tuned.source
    assert "How sure that is, is unknown" in (tmp_path / "run/report.html").read_text()


def test_heads_are_compared_on_all_photos_however_many(tmp_path: Path) -> None:
    segmenter, photos = Segmenter(two_heads()), photos_of_colours(tmp_path / "data", 90)
    assert len(photos) > 48  # halving by itself leaves two cells of ten, both of the better head
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), report=False)
    assert tuned.compared == "2 heads"
    assert tuned.lead is not None
    assert tuned.lead.low > 0
    assert "first in 100% of draws among 2 heads" in tuned.source


def test_a_folder_of_another_tuning_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    photos = photos_of_colours(tmp_path / "data", 8)
    tune(segmenter, photos, tmp_path / "run", judge=ColourJudge())
    with pytest.raises(ConfigError, match=r"holds a tuning with another reward \(keep-delete, now margin\)"):
        tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), reward="margin")
    with pytest.raises(ConfigError, match="another photos"):
        tune(segmenter, photos[1:], tmp_path / "run", judge=ColourJudge())
    with pytest.raises(ConfigError, match="holds other things"):
        tune(segmenter, photos, tmp_path / "data", judge=ColourJudge())
    plan = tmp_path / "run/tuning.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "version": "0.0.9"}))
    with pytest.raises(ConfigError, match=r"holds a tuning with another version \(0.0.9, now "):
        tune(segmenter, photos, tmp_path / "run", judge=ColourJudge())


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"judge": "none", "reward": "keep-delete"}, "without a judge there are measures only"),
        ({"judge": "none", "search": ["heads", "threshold"]}, "measures without a judge tell heads"),
        ({"reward": "iou"}, "unknown reward 'iou'"),
        ({"search": ["layers"]}, "nothing called 'layers' can be searched"),
        ({"search": ["paper"]}, "alone, and with --reward paper"),
        ({"search": ["heads", "heads"]}, "name each thing to search once"),
        ({"judge": "gpt"}, "unknown judge 'gpt'; known: itc, clip:MODEL, siglip:MODEL, tipsv2:MODEL, none"),
        ({"judge": "itc"}, "has no contrastive heads to judge with"),
    ],
)
def test_choices_that_do_not_fit_are_refused(segmenter: Segmenter, tmp_path: Path, choices: dict, said: str) -> None:
    photos = photos_of_colours(tmp_path / "data", 4)
    with pytest.raises(ConfigError, match=said):
        tune(segmenter, photos, tmp_path / "run", **choices)
    assert not (tmp_path / "run").exists()


def test_damaged_maps_are_named(segmenter: Segmenter, tmp_path: Path) -> None:
    photos = TuningPhotos.of(photos_of_colours(tmp_path / "data", 4))
    (tmp_path / "run").mkdir()
    collected = collect(segmenter, photos, tmp_path / "run")
    assert collected.heat(0).shape == (2, len(photos.photos[0].names), 4, 4)
    path = tmp_path / "run/maps/00000.npz"
    whole = path.read_bytes()
    for damaged in (b"PK", b"", whole[:-30], whole[:200] + b"\xff" * 8 + whole[208:]):
        path.write_bytes(damaged)
        with pytest.raises(OutputError, match=r"00000.npz cannot be read .* collect again"):
            collected.heat(0)


def test_damaged_scores_are_named(segmenter: Segmenter, tmp_path: Path) -> None:
    photos = photos_of_colours(tmp_path / "data", 4)
    tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), report=False)
    path = tmp_path / "run/scored/00000.npz"
    for damaged in (b"", path.read_bytes()[:-30]):
        path.write_bytes(damaged)
        with pytest.raises(OutputError, match=r"00000.npz cannot be read .* score again"):
            tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), report=False)


def test_collected_maps_are_those_of_a_segmentation(segmenter: Segmenter, tmp_path: Path) -> None:
    photos = TuningPhotos.of(photos_of_colours(tmp_path / "data", 4))
    (tmp_path / "run").mkdir()
    collected = collect(segmenter, photos, tmp_path / "run")
    photo = photos.photos[1]
    own = Segmenter(segmenter.backbone, Config.preset("default", {"head": 1}).without("presence", "dropout", "crf"))
    result = own(photo.image, list(photo.names))
    assert np.allclose(collected.heat(1)[1], result.heatmaps.names, rtol=1e-3)


def test_tuned_settings_are_a_preset_everywhere(
    tmp_path: Path, call: Call, photo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(two_heads()))
    segmenter = Segmenter(two_heads(), Config.preset("default", {"head": 1, "blur.sigma": 0.02}))
    tuned = tune(segmenter, photos_of_colours(tmp_path / "data", 24), tmp_path / "run", judge=ColourJudge())
    path = tmp_path / "run/tuned.json"
    loaded = pnpovss.Segmenter.from_pretrained("fake", preset=path)
    assert (loaded.config.head, loaded.preset) == (0, "tuned.json")
    made = Segmenter(two_heads(), preset=str(path))
    assert (made.config, made.preset, made.settings_source) == (loaded.config, "tuned.json", tuned.source)
    assert loaded.config.blur is not None
    assert loaded.config.blur.sigma == 0.02  # what was set by hand before goes with it
    result = loaded(photo, ["red", "blue"])
    assert result.provenance.settings_source == tuned.source
    assert loaded(photo, ["red", "blue"], instances="pieces").provenance.settings_source == tuned.source
    assert "tuned without pixel labels: reward keep-delete, judge colours, 18 photos" in tuned.source
    done = call("segment", photo, "--names", "red, blue", "--model", "fake", "--preset", path, "--out", "out")
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out/flag.json").read_text())
    assert record["provenance"]["preset"] == "tuned.json"
    assert record["provenance"]["settings_source"] == tuned.source
    again = call("segment", photo, "--names", "red, blue", "--model", "fake", "--preset", path, "--out", "out")
    assert "1 skipped" in again.output or "already" in again.output or "finished" in again.output, again.output
    assert not caplog.records
    other = json.loads(path.read_text())
    path.write_text(json.dumps(other | {"revision": "another"}))
    pnpovss.Segmenter.from_pretrained("fake", preset=str(path))
    assert "tuned.json holds settings that were tuned for fake (another)" in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the preset"),
        ("{", "no JSON"),
        ("{}", "is no file of tuned settings"),
        ('{"settings": ' + "[" * 100000, "nested too deep"),
    ],
)
def test_a_file_that_is_no_preset_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "tuned.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_preset(str(path))


def test_a_preset_with_an_unknown_setting_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    tune(segmenter, photos_of_colours(tmp_path / "data", 8), tmp_path / "run", judge=ColourJudge())
    path = tmp_path / "run/tuned.json"
    path.write_text(path.read_text().replace('"threshold"', '"treshold"'))
    with pytest.raises(ConfigError, match=r"tuned.json: unknown setting 'treshold'"):
        read_preset(str(path))


def test_the_program_tunes(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(two_heads()))
    pairs = photos_of_colours(tmp_path / "data", 12)
    rows = [f"{image.name},{';'.join(names)}" for image, names in pairs]
    (tmp_path / "labels.csv").write_text("\n".join(["photo,names", *rows]) + "\n")
    shared = ["tune", "data", "--labels", "labels.csv", "--model", "fake", "--judge", "none"]
    done = call(*shared, "--out", "run", "--set", "threshold=0.3")
    assert done.exit_code == 0, done.output
    assert "reward spatial-entropy, judge none, 9 photos" in done.output
    assert "collected 9 of 9" in done.output
    assert json.loads((tmp_path / "run/tuned.json").read_text())["settings"]["threshold"] == 0.3
    for wrong, said in (
        (["--thresholds", "0.1", "--thresholds", "x"], "--thresholds wants numbers"),
        (["--thresholds", "7"], "a threshold is a part of a map's range"),
        (["--means", "2,x"], "--means wants whole numbers"),
        (["--means", "1"], "a mean is that of two heads or more, got 1"),
        (["--out", "data"], "holds other things"),
        (["--evaluation-photos", "mine"], "'mine' is no benchmark"),
        (["--keep-out", "data"], "looks like"),
    ):
        refused = call(*shared, "--out", "other", *wrong)
        assert refused.exit_code == 2
        assert said in refused.output


def test_a_names_file_may_say_that_all_is_in_every_photo(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(two_heads()))
    photos_of_colours(tmp_path / "data/2024", 4)
    (tmp_path / "names.txt").write_text("red\nblue\n")
    done = call(
        "tune",
        "data",
        "--names-file",
        "names.txt",
        "--presence",
        "all",
        "--model",
        "fake",
        "--out",
        "run",
        "--judge",
        "none",
    )
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "run/tuned.json").read_text())["names_from"] == "the filter all"
