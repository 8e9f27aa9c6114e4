"""Settings that another setting leaves without an effect: refused, so that nobody waits for what they would change."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pnpovss.config import Config
from pnpovss.errors import ConfigError

__all__ = ["refuse_idle"]


@dataclass(frozen=True)
class _Rule:
    """When a setting changes nothing.

    Attributes:
        setting: by dotted name.
        belongs_to: what heeds it, in words.
        decided_by: the setting that turns that off.
        such_as: a value of it that does not.
        idle: whether it does, in a config whose steps are on.
        by_model: whether a model may recommend that setting, so that it is known only when the model is loaded.
    """

    setting: str
    belongs_to: str
    decided_by: str
    such_as: str
    idle: Callable[[Config], bool]
    by_model: bool = False


def _in_pieces(config: Config) -> bool:
    return config.instances is not None and config.instances.split == "pieces"


def _one_look(config: Config) -> bool:
    return config.dropout is not None and config.dropout.passes == 1


def _one_scale(config: Config) -> bool:
    several = config.dropout is not None and config.dropout.passes > 1
    return config.instances is not None and config.instances.evidence == "passes" and not several


def _no_tiles(config: Config) -> bool:
    return config.views is not None and not config.views.tiles


_RULES = (
    _Rule(
        "background.count",
        "the policy fewer_than",
        "background.policy",
        "fewer_than",
        lambda config: config.background.policy != "fewer_than",
    ),
    *(
        _Rule(f"instances.{name}", "cuts between peaks of the heat", "instances.split", "heat", _in_pieces)
        for name in ("prominence", "evidence", "method", "edges")
    ),
    _Rule("instances.evidence", "several passes", "dropout.passes", "4", _one_scale, by_model=True),
    *(
        _Rule(f"dropout.{name}", "passes after the first", "dropout.passes", "4", _one_look, by_model=True)
        for name in ("drop", "ranking")
    ),
    *(
        _Rule(f"views.{name}", "tiles", "views.tiles", "[0.6]", _no_tiles, by_model=True)
        for name in ("tiles_across", "tiles_weight")
    ),
)


def refuse_idle(config: Config, given: Iterable[str], *, loaded: bool) -> None:
    """Refuse a setting that was given and changes nothing, because of another one.

    Args:
        config: all settings.
        given: dotted names of those that somebody asked for.
        loaded: whether the config holds what the model recommends; without, only what no model decides is looked at.

    Raises:
        ConfigError: there is one.
    """
    asked = set(given)
    for rule in _RULES:
        if rule.setting in asked and (loaded or not rule.by_model) and rule.idle(config):
            raise ConfigError(
                f"the setting {rule.setting} belongs to {rule.belongs_to}, and {_as_it_is(config, rule.decided_by)}; "
                f"set {rule.decided_by}={rule.such_as}, too, or leave {rule.setting} out"
            )


def _as_it_is(config: Config, setting: str) -> str:
    """A setting of a step with its value, or that the step is off."""
    step, _, part = setting.partition(".")
    if (settings := getattr(config, step)) is None:
        return f"{step} is off"
    value = getattr(settings, part)
    return f"{setting} is {list(value) if isinstance(value, tuple) else value}"
