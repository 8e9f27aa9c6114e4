"""Values of --set: words that turn something on or off, for steps and for switches."""

import pytest

from pnpovss.cli.settings import parse_settings
from pnpovss.config import STEPS, Config, ViewSettings, setting_names


@pytest.mark.parametrize("name", [name for name, value in setting_names().items() if "." not in name])
def test_every_step_and_switch_takes_on_and_off(name: str):
    switch = isinstance(getattr(Config(), name), bool)
    if not (switch or name in STEPS):
        return
    Config().replace(parse_settings([f"{name}=off"]))
    if name in STEPS:
        assert Config().replace(parse_settings([f"{name}=Off"])) == Config().without(name)
        assert Config().replace(parse_settings([f"{name}=none"])) == Config().without(name)
    if name != "threshold":  # a number: it has no "on"
        assert getattr(Config().replace(parse_settings([f"{name}=on"])), name)


def test_switches_and_steps_turn_what_they_say():
    settings = ["gradcam=off", "keep_aspect=on", "squash_names=OFF", "views=on", "views.mirror=off"]
    config = Config().replace(parse_settings(settings))
    assert (config.gradcam, config.keep_aspect, config.squash_names) == (False, True, False)
    assert config.views == ViewSettings(mirror=False)
    assert parse_settings(["crf.max_pixels=off"]) == {"crf.max_pixels": None}
    for unknown in ("nobody.knows", "crf.nobody", "crf.model_dump", "model_fields"):
        assert parse_settings([f"{unknown}=on"]) == {unknown: "on"}


def test_every_setting_takes_on_as_a_step_a_switch_or_a_word():
    for name in setting_names():
        assert parse_settings([f"{name}=on"])[name] in ({}, True, "on")
    assert {name for name in setting_names() if parse_settings([f"{name}=on"])[name] == {}} == {
        "presence",
        "views",
        "dropout",
        "background",
        "blur",
        "crf",
        "instances",
    }
