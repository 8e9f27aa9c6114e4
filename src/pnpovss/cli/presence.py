"""`--presence`: ask the segmenter only for names that a filter holds to be in the photo."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pnpovss.cli.settings import parse_settings
from pnpovss.cli.terminal import say
from pnpovss.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["parse_llm", "tell_presence"]


def parse_llm(given: Sequence[str], spec: str) -> "BaseModel | None":
    """Settings of a filter from NAME=VALUE; None where there are none.

    Raises:
        ConfigError: an unknown setting, a value out of range, or a filter that has no settings.
    """
    if not given:
        return None
    from pydantic import ValidationError

    from pnpovss.presence import parse_presence

    filter = parse_presence(spec).spec
    kind = filter.settings
    if kind is None:
        raise ConfigError(f"--llm is for filters with settings, such as llm:MODEL; the presence asked for is {spec!r}")
    settings = parse_settings(given)
    if unknown := [name for name in settings if name not in kind.model_fields]:
        known = "; ".join(f"{name} ({field.description})" for name, field in kind.model_fields.items())
        raise ConfigError(f"unknown {filter.key} setting {unknown[0]!r}; known: {known}")
    try:
        return kind(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        given_value = first.get("input")  # a text may be a secret in the wrong place
        got = "" if isinstance(given_value, str) else f", got {given_value!r}"
        raise ConfigError(f"{filter.key} setting {first['loc'][0]}: {first['msg']}{got}") from None


def tell_presence(spec: str, told: Mapping[str, Any], notes: Console) -> None:
    """What a filter did besides looking: requests, failures, tokens, cost.

    Args:
        spec: of the filter.
        told: what it reports.
        notes: where to say it.
    """
    if set(told) - {"photos"}:
        say(notes, f"{spec}: " + ", ".join(f"{key} {value:g}" for key, value in told.items() if value), "dim")
