"""Settings that another setting leaves without an effect are refused, the model's own settings counted in."""

from typing import Any

import pytest

from pnpovss.batch.model import ModelChoice
from pnpovss.config import Config
from pnpovss.errors import ConfigError
from pnpovss.idle import _RULES, refuse_idle
from pnpovss.segmenter import Segmenter

PIECES = "cuts between peaks of the heat, and instances.split is pieces; set instances.split=heat"
ONE = "passes after the first, and dropout.passes is 1; set dropout.passes=4"
NO_TILES = r"tiles, and views.tiles is \[\]; set views.tiles=\[0.6\]"
EARLY: list[tuple[dict[str, Any], str]] = [
    ({"background.count": 2}, "the policy fewer_than, and background.policy is auto; set background.policy=fewer_than"),
    ({"instances.split": "pieces", "instances.prominence": 0.1}, PIECES),
    ({"instances.split": "pieces", "instances.evidence": "passes"}, PIECES),
    ({"instances.split": "pieces", "instances.method": "random_walk"}, PIECES),
    ({"instances.split": "pieces", "instances.edges": 1.0}, PIECES),
]
LATE: list[tuple[dict[str, Any], str]] = [
    ({"dropout.passes": 1, "dropout.drop": 0.9}, ONE),
    ({"dropout.passes": 1, "dropout.ranking": "tokens"}, ONE),
    ({"views.tiles": (), "views.tiles_weight": 1.0}, NO_TILES),
    ({"views.tiles": (), "views.tiles_across": 5}, NO_TILES),
    ({"dropout": None, "instances.evidence": "passes"}, "several passes, and dropout is off; set dropout.passes=4"),
    ({"dropout.passes": 1, "instances.evidence": "passes"}, "several passes, and dropout.passes is 1"),
]


@pytest.mark.parametrize(("settings", "says"), [*EARLY, *LATE])
def test_each_rule(settings: dict[str, Any], says: str) -> None:
    config = Config.preset("default", settings)
    with pytest.raises(ConfigError, match=f"belongs to {says}, too, or leave" if "set" in says else says):
        refuse_idle(config, settings, loaded=True)
    refuse_idle(config, list(settings)[:-1], loaded=True)  # what was not asked for disappoints nobody
    if (settings, says) in EARLY:
        with pytest.raises(ConfigError, match=says):
            ModelChoice(settings=settings)
    else:
        ModelChoice(settings=settings)  # the model has a say


def test_every_rule_is_tried() -> None:
    assert {list(settings)[-1] for settings, _ in (*EARLY, *LATE)} == {rule.setting for rule in _RULES}


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: f"{rule.setting} {rule.decided_by}")
def test_what_is_said_to_do_helps(rule: Any) -> None:
    value = {"4": 4, "[0.6]": [0.6]}.get(rule.such_as, rule.such_as)
    own = "passes" if rule.setting == "instances.evidence" else None
    settings = {rule.decided_by: value, **({rule.setting: own} if own else {})}
    refuse_idle(Config.preset("default", settings), [rule.setting], loaded=True)


def test_the_models_own_settings_count() -> None:
    options: dict[str, Any] = {"device": "cpu"}
    assert Segmenter.from_pretrained("mini", settings={"views.tiles_weight": 0.3}, **options).config.views is not None
    with pytest.raises(ConfigError, match=r"instances\.evidence belongs to several passes, and dropout is off"):
        Segmenter.from_pretrained("mini", settings={"instances.evidence": "passes"}, **options)
    several = {"instances.evidence": "passes", "dropout.passes": 2}
    assert Segmenter.from_pretrained("mini", settings=several, **options).config.instances is not None
