"""The search over the whole method: slots of a study that are each run once, whoever runs them."""

import csv
from pathlib import Path

import pytest

from pnpovss.config import Config
from pnpovss.errors import ConfigError
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.space import Parameter, changes, parameters_of
from pnpovss.tuning.study import slots
from pnpovss.tuning.tune import tune
from tests.support.fakes import FakeBackbone
from tests.support.tuning import ColourJudge, photos_of_colours, two_heads

pytest.importorskip("optuna", reason="in the extra `tune`")

SEARCH = ["heads", "threshold", "blur", "dropout"]
PARAMETERS = [Parameter("a", (1, 2, 3, 4, 5), 1), Parameter("b", (0.1, 0.2, 0.3, 0.4), 0)]
START = {"a": 2, "b": 0.1}


def test_values_of_a_trial_become_settings() -> None:
    assert changes({"heads": "7.9", "threshold": 0.3}) == {"layer": 7, "head": 9, "threshold": 0.3}
    assert changes({"heads": "7.9+8.2"}) == {"heads": [[7, 9], [8, 2]]}
    assert changes({"blur.sigma": 0.0}) == {"blur": None}
    assert changes({"dropout.passes": 1, "dropout.drop": 0.5}) == {"dropout": None}
    several = Config.preset("authors").replace(changes({"dropout.passes": 2, "dropout.drop": 0.25}))
    assert several.dropout is not None
    assert (several.dropout.passes, several.dropout.drop, several.dropout.weights) == (2, 0.25, None)


def test_the_search_starts_from_the_settings_as_they_are() -> None:
    segmenter = Segmenter(two_heads(), Config.preset("default", {"blur.sigma": 0.03, "dropout": None}))
    words = ["heads", "threshold", "blur", "dropout", "size"]
    found = parameters_of(words, segmenter.config, segmenter.backbone.card, ["0.0", "0.1"])
    own = {each.name: each.values[each.own] for each in found}
    assert own == {
        "heads": "0.0",
        "threshold": 0.15,
        "blur.sigma": 0.03,
        "dropout.passes": 1,
        "dropout.drop": 0.5,
        "image_size": 32,
    }
    sides = next(each.values for each in found if each.name == "image_size")
    assert all(side % segmenter.backbone.card.patch == 0 for side in sides)


@pytest.mark.parametrize(("reads", "sides"), [("any", (16, 24)), ("frames", (16, 32)), ("fixed", (16,))])
def test_sizes_are_searched_that_the_model_reads(reads: str, sides: tuple[int, ...]) -> None:
    segmenter = Segmenter(FakeBackbone(sizes=reads))
    [found] = parameters_of(["size"], segmenter.config, segmenter.backbone.card, [])
    assert (found.values, found.values[found.own]) == (sides, 16)
    for side in sides:
        assert segmenter.config.replace({"image_size": side}).resolve(segmenter.backbone.card).image_size == side


def test_where_choices_are_few_each_is_a_slot() -> None:
    grid = slots(PARAMETERS, START, 20)
    assert grid[0] == START
    assert len(grid) == len({tuple(each.items()) for each in grid}) == 20
    assert slots(PARAMETERS, START, 19) == [START, *({} for _ in range(18))]


def test_blur_and_passes_are_searched_and_go_into_the_preset(tmp_path: Path) -> None:
    segmenter = Segmenter(two_heads(), Config.preset("default", {"head": 1, "blur.sigma": 0.08}))
    photos = photos_of_colours(tmp_path / "data", 12)
    tuned = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), search=SEARCH, trials=10)
    rows = list(csv.DictReader((tmp_path / "run/trials.csv").read_text().splitlines()))
    assert [int(row["slot"]) for row in rows] == list(range(10))
    best = max((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["reward"]))
    blur = tuned.settings.get("blur", {"sigma": 0.08})
    assert (blur["sigma"] if blur else 0.0) == float(best["blur.sigma"])
    assert float(best["reward"]) >= float(rows[0]["reward"])
    assert "10 trials of the whole method" in tuned.searched
    assert isinstance(segmenter.backbone, FakeBackbone)
    before = len(segmenter.backbone.encoded)
    again = tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), search=SEARCH, trials=10)
    assert len(segmenter.backbone.encoded) == before  # finished: nothing is looked at again
    assert again.settings == tuned.settings
    page = (tmp_path / "run/report.html").read_text()
    assert "Search over the whole method" in page
    with pytest.raises(ConfigError, match="measures without a judge tell heads"):
        tune(segmenter, photos, tmp_path / "other", judge="none", search=SEARCH)
    with pytest.raises(ConfigError, match="a study is kept in sqlite, journal or a database's URL, got 'sql'"):
        tune(segmenter, photos, tmp_path / "other", judge=ColourJudge(), search=SEARCH, storage="sql")
    assert not (tmp_path / "other").exists()
