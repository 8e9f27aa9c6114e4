"""The search over the whole method: slots of a study that are each run once, whoever runs them."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pnpovss.config import Config, Settings
from pnpovss.errors import ConfigError
from pnpovss.presets import Tuned
from pnpovss.segmenter import Segmenter
from pnpovss.tuning import search
from pnpovss.tuning.photos import TuningPhoto, TuningPhotos
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
    start = {"heads": "0.0", "threshold": 0.15, "blur.sigma": 0.05, "dropout.passes": 4, "dropout.drop": 10}
    assert changes({**start, "heads": "7.9", "threshold": 0.3}, start) == {"layer": 7, "head": 9, "threshold": 0.3}
    assert changes({"heads": "7.9+8.2"}, start) == {"heads": [[7, 9], [8, 2]]}
    assert changes({"blur.sigma": 0.0}, start) == {"blur": None}
    assert changes({"dropout.passes": 1, "dropout.drop": 0.5}, start) == {"dropout": None}
    off = {"dropout.passes": 1, "dropout.drop": 0.5}
    assert changes({"dropout.passes": 1, "dropout.drop": 0.25}, off) == {}
    authors = Config.preset("authors")
    several = authors.replace(changes({"dropout.passes": 2, "dropout.drop": 0.25}, start)).dropout
    assert several is not None
    assert (several.passes, several.drop, several.weights, several.ranking) == (2, 0.25, None, "tokens")
    fewer = authors.replace(changes({"dropout.passes": 4, "dropout.drop": 0.1}, start)).dropout
    assert fewer is not None
    assert (fewer.passes, fewer.drop, fewer.weights) == (4, 0.1, (2.0, 1.0, 1.0, 1.0))
    assert authors.replace(changes(start, start)) == authors


def test_the_search_starts_from_the_settings_as_they_are() -> None:
    segmenter = Segmenter(two_heads(), Config.preset("default", {"blur.sigma": 0.03, "dropout": None}))
    words = ["heads", "threshold", "blur", "dropout", "size"]
    found = parameters_of(words, segmenter.config, segmenter.backbone.card, ["0.0", "0.1"], (0.05, 0.15))
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


def test_what_the_settings_say_is_a_choice_whatever_it_is() -> None:
    settings = {"blur.sigma": 0.065, "dropout.passes": 5, "dropout.drop": 10, "threshold": 0.2, "image_size": 56}
    segmenter = Segmenter(two_heads(), Config.preset("authors", {**settings, "dropout.weights": None}))
    words, card = ["threshold", "blur", "dropout", "size"], segmenter.backbone.card
    found = {each.name: each for each in parameters_of(words, segmenter.config, card, [], (0.2, 0.3))}
    assert {name: each.values[each.own] for name, each in found.items()} == settings
    assert found["threshold"].values == (0.2, 0.3)
    assert found["dropout.drop"].values == (0.1, 0.25, 0.5, 10)


def test_thresholds_that_were_not_named_are_not_tried_and_the_first_trial_is_the_settings(tmp_path: Path) -> None:
    segmenter = Segmenter(two_heads(), Config.preset("authors", {"head": 1, "blur.sigma": 0.065}))
    photos, judge, seen = photos_of_colours(tmp_path / "data", 4), ColourJudge(), []
    segment = search.region_masks

    def watched(segmenter: Segmenter, photo: TuningPhoto, settings: Settings) -> list[Any]:
        seen.append(settings)
        return segment(segmenter, photo, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "region_masks", watched)
        options: dict[str, Any] = {"judge": judge, "thresholds": [0.2, 0.3], "trials": 3, "report": False}
        tuned = tune(segmenter, photos, tmp_path / "run", search=["threshold", "blur", "dropout"], **options)
    found = {level: segmenter.config.without("presence", "crf").replace({"threshold": level}) for level in (0.2, 0.3)}
    assert seen[0] in found.values()
    assert {each.threshold for each in seen} <= {0.2, 0.3}
    assert tuned.settings["threshold"] in (0.2, 0.3)


@pytest.mark.parametrize(("reads", "sides"), [("any", (16, 24)), ("frames", (16, 32)), ("fixed", (16,))])
def test_sizes_are_searched_that_the_model_reads(reads: str, sides: tuple[int, ...]) -> None:
    segmenter = Segmenter(FakeBackbone(sizes=reads))
    [found] = parameters_of(["size"], segmenter.config, segmenter.backbone.card, [], ())
    assert (found.values, found.values[found.own]) == (sides, 16)
    for side in sides:
        assert segmenter.config.replace({"image_size": side}).resolve(segmenter.backbone.card).image_size == side


def test_where_choices_are_few_each_is_a_slot() -> None:
    grid = slots(PARAMETERS, START, 20)
    assert grid[0] == START
    assert len(grid) == len({tuple(each.items()) for each in grid}) == 20
    assert slots(PARAMETERS, START, 19) == [START, *({} for _ in range(18))]


def tuned_by(tmp_path: Path, segmenter: Segmenter, value: Callable[[Settings, int], float], **choices: Any) -> Tuned:
    """A tuning whose trials are worth what `value` says of their settings and of a photo, by its number."""

    def values(segmenter: Segmenter, photos: TuningPhotos, *_: object) -> Iterator[float]:
        return (value(segmenter.config, i) for i in range(len(photos.photos)))

    photos = photos_of_colours(tmp_path / "data", 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_values", values)
        return tune(segmenter, photos, tmp_path / "run", judge=ColourJudge(), **choices)


def noise(settings: Settings, photo: int) -> float:
    """By chance, the same again for the same blur."""
    return np.random.default_rng([photo, round(1000 * settings.blur.sigma) if settings.blur else 0]).normal()


def answer(folder: Path) -> str:
    """What the page says first."""
    return (folder / "run/report.html").read_text().partition('<div class="answer')[2].partition("</div>")[0]


def test_the_best_of_trials_that_differ_by_chance_is_not_called_sure(tmp_path: Path) -> None:
    segmenter = Segmenter(two_heads(), Config.preset("default", {"blur.sigma": 0.05}))
    tuned = tuned_by(tmp_path, segmenter, noise, search=["blur"])
    assert 0 < tuned.wins < 1
    assert f"first in {tuned.wins:.0%} of draws" in tuned.source
    assert tuned.lead is not None
    assert tuned.lead.low <= 0 < tuned.lead.value
    assert tuned.undecided_between == ()  # no other heads were tried
    assert "Other choices that they cannot be told from: " in answer(tmp_path)
    assert "no other heads were tried" not in answer(tmp_path)


def test_trials_of_the_same_settings_are_one_choice(tmp_path: Path) -> None:
    segmenter = Segmenter(two_heads(), Config.preset("default", {"dropout": {"passes": 4, "drop": 0.5}}))
    tuned = tuned_by(tmp_path, segmenter, lambda own, i: float(own.dropout is None), search=["dropout"])
    assert tuned.settings["dropout"] is None
    assert tuned.wins == 1  # with one pass nothing is dropped, whatever part was to be
    assert tuned.lead is not None
    assert tuned.lead.value == 1


def test_the_heads_that_the_search_chose_are_those_that_are_spoken_of(tmp_path: Path) -> None:
    segmenter = Segmenter(FakeBackbone(two_heads().attention, heads={0: 5}, grid=4, name="fake"))
    by_maps = tune(segmenter, photos_of_colours(tmp_path / "maps", 16), tmp_path / "before", judge=ColourJudge())
    first, best = by_maps.settings["head"], int(by_maps.undecided_between[0].partition(".")[2])
    assert len(by_maps.undecided_between) == 4  # all see the same

    def value(settings: Settings, photo: int) -> float:
        return 10.0 * (settings.head == best) + noise(settings, photo)

    tuned = tuned_by(tmp_path, segmenter, value, search=["heads", "blur"], trials=21)
    assert tuned.settings["head"] == best != first
    assert tuned.wins < 1
    assert tuned.undecided_between == by_maps.undecided_between[2:]  # three heads were candidates
    assert f"<b>0.{best} at {tuned.settings['threshold']:g}</b>" in answer(tmp_path)
    assert f"<b>0.{first} at" not in answer(tmp_path)
    page = (tmp_path / "run/report.html").read_text()
    assert f'<tr class="chosen"><th scope="row">0.{best}<' in page
    assert f"It started from 0.{first} at " in page


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
