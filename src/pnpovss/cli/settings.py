"""Settings of the method on the command line, generated from `pnpovss.config`."""

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from rich.table import Table
from rich.text import Text

from pnpovss.config import PRESETS, STEPS, Config, InstanceSettings, ViewSettings, setting_names
from pnpovss.errors import ConfigError

__all__ = ["parse_settings", "refuse_instances", "setting_value", "settings_table"]

_ALL_ON = Config(views=ViewSettings(), instances=InstanceSettings())  # which are off unless asked for


def parse_settings(given: Sequence[str]) -> dict[str, Any]:
    """{"dropout.passes": 2} from "dropout.passes=2"; values as in JSON, else plain words.

    "off" turns a step or a switch off, "on" a switch on, or a step, with its defaults; "none" is no value.

    Raises:
        ConfigError: no "=", or a setting given twice.
    """
    settings: dict[str, Any] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise ConfigError(f"a setting is given as NAME=VALUE, such as dropout.passes=2, got {text!r}")
        if name in settings:
            raise ConfigError(f"setting {name!r} was given twice")
        settings[name] = _value(name, value)
    return settings


def _value(name: str, text: str) -> Any:
    word = text.lower()
    if word in ("none", "off"):
        return STEPS[name] if name in STEPS else False if word == "off" and _is_switch(name) else None
    if word == "on" and _is_switch(name):
        return True
    if word == "on" and hasattr(_when_on(name), "model_dump"):
        return {}  # a step whose settings are all left to their defaults
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false", "null") else text)
    except (ValueError, RecursionError):  # no JSON, an integer of thousands of digits, or nested too deep: no value
        return text


def _is_switch(name: str) -> bool:
    return isinstance(_when_on(name), bool)


def _when_on(name: str) -> Any:
    """A setting's value where every step is on; None for an unknown one."""
    return attrgetter(name)(_ALL_ON) if name in setting_names() else None


def refuse_instances(how: str, settings: Mapping[str, Any], without: Sequence[str]) -> None:
    """Refuse to tell things apart in one way (`--instances`) and in another, or not at all.

    Args:
        how: as --instances has it.
        settings: those that --set gives, by dotted name.
        without: the steps that are left out.

    Raises:
        ConfigError: they contradict each other.
    """
    other = "--without instances" if "instances" in without else None
    if "instances" in settings:
        other = "--set instances"
    elif settings.get("instances.split", how) != how:
        other = f"--set instances.split={settings['instances.split']}"
    if other is not None:
        raise ConfigError(f"--instances {how} and {other} contradict each other; leave one of the two out")


def settings_table() -> Table:
    """Every setting, what it is, and its value in each preset."""
    table = Table(title="Settings, for --set NAME=VALUE", title_justify="left", expand=False)
    for column in ("setting", "what it is", *PRESETS):
        table.add_column(column, overflow="fold", no_wrap=column == "setting")
    for name, description in setting_names().items():
        table.add_row(*map(Text, (name, description, *(setting_value(config, name) for config in PRESETS.values()))))
    table.caption = (
        f"Steps that can be turned off with --without: {', '.join(STEPS)}.\n"
        "default and best also take what the checkpoint was tuned to; of mini: docs/settings.md. Each result's record "
        "holds the values that were used."
    )
    return table


def setting_value(config: Config, dotted: str) -> str:
    """A setting's value as documents show it; "-" for none, "on" for a step that has settings of its own."""
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part)
        if value is None:
            return "-"
    if hasattr(value, "model_dump"):
        return "on"
    if isinstance(value, tuple):
        return ", ".join(".".join(map(str, item)) if isinstance(item, tuple) else f"{item:g}" for item in value)
    return str(value)
