"""A run over things through the program: scores, report, figures, and what its records must hold."""

import json

import numpy as np
import pytest
from PIL import Image

from pnpovss.config import Config
from pnpovss.datasets.base import Dataset
from pnpovss.evaluation.measures.bootstrap import mean_interval
from pnpovss.evaluation.report.things import things_markdown
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.instance_heads import look_by_head
from pnpovss.evaluation.runs.instance_scores import FATES, instance_scores
from pnpovss.evaluation.runs.instances import WAYS, instance_variants, run_instances
from pnpovss.evaluation.runs.records import InstancesRecord, checker
from pnpovss.inputs import prepare
from pnpovss.presence.base import Presence
from pnpovss.results.rle import encode
from pnpovss.segmenter import Segmenter
from tests.support.colours import Oracle, colour_space, write_photo
from tests.support.fakes import colour_backbone
from tests.support.program_fixtures import program_over

SETTINGS = {"dropout.passes": 2, "dropout.drop": 4, "threshold": 0.5, "presence": None}


def two_and_one(root) -> Dataset:
    """Red squares: two apart, then two that touch (which stand for one: pieces), and green without any name."""
    root.mkdir(parents=True, exist_ok=True)
    masks = []
    for squares in ([(8, 8), (8, 40)], [(8, 8), (24, 24)], [(40, 8)]):
        mask = np.zeros((64, 64), np.uint8)
        for top, left in squares:
            mask[top : top + 16, left : left + 16] = 1
        masks.append(mask)
    masks[2][:8] = 2
    return Dataset(colour_space(), root, [write_photo(root, f"photo{i}", mask) for i, mask in enumerate(masks)])


@pytest.fixture
def data(tmp_path) -> Dataset:
    return two_and_one(tmp_path / "data")


@pytest.fixture
def telling() -> Segmenter:
    return Segmenter(colour_backbone(grid=8), Config.preset("default", SETTINGS).without("crf", "blur"))


def test_every_way_is_scored_from_the_same_regions(telling, data, oracle, tmp_path):
    summary = run_instances(telling, data, oracle, tmp_path / "run")
    assert list(summary["ways"]) == list(WAYS)
    assert summary["photos"] == 3
    assert summary["things"] == 5
    plain = summary["ways"]["pieces"]
    assert plain["groups"]["2 of its name"]["things"] == 2
    assert plain["groups"]["2 of its name"]["apart"] == [1, None, None]
    assert plain["ap50"] >= 0.5  # red is found
    assert plain["rq"] >= 0.5
    assert summary["peaks"]["all"]["own"]["pass 1"][0] > 0
    [alone] = summary["heads"].values()
    for kind in ("all", "1 of its name"):
        told = {key: alone[kind][key] for key in summary["peaks"][kind]}
        assert told == summary["peaks"][kind], "the only head, without views and CRF, is the whole run"
        assert all(alone[kind][fate] == plain["groups"][kind][fate] for fate in FATES)
    again = run_instances(telling, data, oracle, tmp_path / "run")
    assert again == summary
    assert oracle.calls == 3


def test_the_head_that_is_read_has_the_maps_of_a_segmentation():
    """Of several heads and passes, with a real model."""
    segmenter = Segmenter.from_pretrained("mini", preset="paper", settings={"dropout.passes": 2}, without=["crf"])
    photo, names = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)), ["cat", "dog"]
    seen = look_by_head(segmenter, photo, names)
    assert len(seen) == sum(segmenter.backbone.card.heads.values())
    inputs = prepare(photo, names, segmenter.backbone.card, segmenter.config)
    [explained] = segmenter.explain([inputs])
    own = seen[f"{segmenter.config.layer}.{segmenter.config.head}"]
    assert own.maps["all passes"] == pytest.approx(explained.names.numpy(), abs=1e-6)
    assert own.maps["pass 2"] == pytest.approx(explained.passes[1].numpy(), abs=1e-6)
    labels = segmenter.finish(inputs, explained).labels
    assert np.array_equal(own.found.map > 0, labels > 0)
    assert len({each.maps["all passes"].tobytes() for each in seen.values()}) == len(seen), "no two heads are alike"


def test_records_hold_all_that_scores_need(telling, data, oracle, tmp_path):
    summary = run_instances(telling, data, oracle, tmp_path / "run", ways=["pieces"], study=False)
    run = read_run(tmp_path / "run")
    records = list(run.records.values())
    assert {**instance_scores(records, run.settings.classes)}.items() <= summary.items()
    assert summary["peaks"] == summary["heads"] == {}
    short = {**records[0], "fates": {"pieces": ["apart"]}}
    with pytest.raises(ValueError, match="it tells of other things than the 2 of its truth"):
        InstancesRecord.model_validate(short)
    lonely = {**records[0], "truth": [{**each, "neighbours": None} for each in records[0]["truth"]]}
    with pytest.raises(ValueError, match="does not tell what is around a thing"):
        InstancesRecord.model_validate(lonely)


def told_of(random: np.random.Generator) -> dict:
    """A record of a photo with some things, of which some names were not asked for."""
    count = int(random.integers(0, 4))
    around = {"count": count, "touches": False, "overlap": 0.0, "share": 0.1}
    truth = [{"row": 1, "neighbours": around, "crowd": False, **encode(np.eye(2, dtype=bool))} for _ in range(count)]
    asked = random.random(count) < 0.8
    peaks = {name: np.where(asked, random.integers(0, 3, count), -1).tolist() for name in ("all", "pass 1", "pass 2")}
    fates = random.choice(FATES, count).tolist()
    kept = {"truth": truth, "found": {"pieces": []}, "panoptic": {"pieces": []}, "fates": {"pieces": fates}}
    return {**kept, "peaks": peaks, "heads": {"0.0": {"peaks": peaks, "fates": fates}}}


def test_means_are_those_of_each_value_alone_photo_by_photo():
    random = np.random.default_rng(4)
    records = [told_of(random) for _ in range(40)]
    summary = instance_scores(records, ("background", "red"))

    def alone(value, belongs=lambda count: True):
        photos = [[value(r, i) for i in range(n)] for r in records if belongs(n := len(r["truth"]))]
        known = [[each for each in photo if each is not None] for photo in photos]
        found = mean_interval([photo for photo in known if photo])
        return [round(each, 6) for each in (found.value, found.low, found.high)]

    def of_peaks(value):
        def known(record, i):
            counts = [each[i] for each in record["peaks"].values()]
            return None if counts[0] < 0 else float(value(*counts))

        return known

    groups, [head] = summary["ways"]["pieces"]["groups"], summary["heads"].values()
    for fate in FATES:
        expected = alone(lambda r, i, fate=fate: float(r["fates"]["pieces"][i] == fate))
        assert groups["all"][fate] == head["all"][fate] == expected
    merged = alone(lambda r, i: float(r["fates"]["pieces"][i] == "merged"), lambda count: count == 2)
    assert groups["2 of its name"]["merged"] == merged
    for peaks in (summary["peaks"]["all"], head["all"]):
        assert peaks["own"]["pass 2"] == alone(of_peaks(lambda whole, first, second: second > 0))
        assert peaks["each"]["all"] == alone(of_peaks(lambda whole, first, second: whole))
        assert peaks["only later"] == alone(of_peaks(lambda whole, first, second: not first and second > 0))
        assert peaks["nowhere"] == alone(of_peaks(lambda whole, first, second: not (whole or first or second)))


def test_photos_without_any_name_asked_for_count_as_missed(telling, data, tmp_path):
    class Nobody:
        key = "nobody"

        def decide(self, photo, names):
            return Presence(kept=(), scores=tuple(0.0 for _ in names))

        def report(self):
            return {}

    summary = run_instances(telling, data, Nobody(), tmp_path / "run", ways=["pieces"])
    plain, [head] = summary["ways"]["pieces"], summary["heads"].values()
    assert (plain["ap50"], plain["pq"], plain["rq"]) == (0, 0, 0)
    assert plain["groups"]["all"]["things"] == 5
    assert plain["groups"]["all"]["missed"] == head["all"]["missed"] == [1, None, None]
    assert summary["peaks"]["all"]["own"]["pass 1"] == [None, None, None], "no peak of a name that was not asked for"
    assert "5 things in 3 photos" in things_markdown(summary, "colours")


def test_a_photo_without_names_counts_beside_others_in_every_score(telling, data, oracle, tmp_path):
    """As much as if its names had been asked for and nothing been found: one table must not contradict itself."""

    class Forgetful(Oracle):
        def decide(self, photo, names):
            found = super().decide(photo, names)
            return Presence((), found.scores) if photo.key == "photo2" else found

    summary = run_instances(telling, data, Forgetful(), tmp_path / "run", ways=["pieces", "heat"])
    whole = run_instances(telling, data, oracle, tmp_path / "whole", ways=["pieces", "heat"])
    records = read_run(tmp_path / "run").records
    assert {key: set(record["found"]) for key, record in records.items()} == {
        key: {"pieces", "heat"} for key in records
    }
    assert records["photo2"]["panoptic"]["heat"] == [[1, 0, 0, 0, 1], [2, 0, 0, 0, 1]], "both things, missed"
    [head], [before] = summary["heads"].values(), whole["heads"].values()
    for found, full in ((summary["ways"]["pieces"]["groups"], whole["ways"]["pieces"]["groups"]), (head, before)):
        assert found["all"]["missed"][0] == pytest.approx(full["all"]["missed"][0] + 2 / 5)
    assert summary["ways"]["pieces"]["rq"] < whole["ways"]["pieces"]["rq"]


def test_a_record_without_a_way_of_the_run_is_refused(telling, data, oracle, tmp_path):
    run_instances(telling, data, oracle, tmp_path / "run", ways=["pieces"], study=False)
    run = read_run(tmp_path / "run")
    [first, *_] = run.records.values()
    with pytest.raises(ValueError, match="its ways of telling apart are not those of the run"):
        checker(run.settings)({**first, "panoptic": {}})


def test_each_pass_is_a_way_only_where_there_are_several(telling):
    assert "heat, each pass" in instance_variants(telling.config)
    assert "heat, each pass" not in instance_variants(telling.config.without("dropout").resolve(telling.backbone.card))
    kept = telling.config.replace({"instances.smallest": 0.02}).resolve(telling.backbone.card)
    assert {each.instances.smallest for each in instance_variants(kept).values()} == {0.02}


@pytest.fixture
def program(monkeypatch, tmp_path):
    return program_over(monkeypatch, tmp_path, colour_backbone(grid=8), two_and_one)


COMMON = ("--root", "data", "--model", "fake", "--without", "crf", "--set", "dropout.passes=2")


def test_the_sweep_writes_a_report_and_four_figures(program, tmp_path):
    pytest.importorskip("matplotlib", reason="in the extra `figures`")
    output = program("sweep", "instances", "colours", *COMMON, "--out", "run")
    text = (tmp_path / "run" / "things.md").read_text()
    assert text in output
    assert "5 things in 3 photos" in text
    for heading in ("Scores", "What becomes of things", "Peaks of heat", "By layer and head"):
        assert f"### {heading}" in text
    figures = {path.name for path in (tmp_path / "run").glob("*.png")}
    assert figures == {f"things-{word}.png" for word in ("number", "kind", "passes", "heads")}
    assert all(f"]({name})" in text for name in figures)
    assert "takes all of them" in program(
        "sweep", "instances", "colours", *COMMON, "--out", "r", "--values", "1", code=2
    )


def test_eval_measures_things_told_apart_one_way(program, tmp_path):
    output = program("eval", "colours", *COMMON, "--out", "run", "--instances", "pieces")
    assert "| pieces | " in output
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["ways"].keys() == {"pieces"}
    refused = program("eval", "colours", *COMMON, "--out", "r", "--instances", "heat", "--save-maps", code=2)
    assert "--instances takes no --save-maps" in refused
