"""`--presence`: ask the segmenter only for names that a filter holds to be in the photo."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from pnpovss.cli.settings import parse_settings
from pnpovss.cli.terminal import say
from pnpovss.errors import ConfigError, PresenceError

if TYPE_CHECKING:
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.presence.llm.filter import LlmSettings
    from pnpovss.segmenter import Segmenter

__all__ = ["early_presence", "late_presence", "parse_llm", "tell_presence"]

EVERYTHING = "all"


def early_presence(
    spec: str, llm: Sequence[str] = (), *, device: str = "auto", local_files_only: bool = False, masks: bool = False
) -> "PresenceFilter | None":
    """What can be refused or made before a model is loaded; None for filters that ask the model, and without one.

    Args:
        spec: of the filter.
        llm: settings of `llm`, as NAME=VALUE.
        device: where `clip` computes.
        local_files_only: whether `clip` must not ask a hub.
        masks: whether the photos have masks, which `oracle` needs; then `all` is a filter, too, for the record.

    Raises:
        PresenceError: an unknown filter, one that lacks what it needs, or `oracle` without masks.
        ConfigError: a setting of `llm` that is unknown or out of range, or given to another filter.
    """
    if spec == EVERYTHING and not masks and not llm:
        return None
    from pnpovss.presence import asks_model, make_presence

    if spec == "oracle" and not masks:
        raise PresenceError("oracle names come from masks, and photos have none; use another filter, such as itm")
    settings = parse_llm(llm, spec)
    if asks_model(spec):
        return None
    from pnpovss.backbones.base import LoadOptions
    from pnpovss.loading import parse_device

    load = LoadOptions(parse_device(device), local_files_only=local_files_only)
    return make_presence(spec, llm=settings, load=load)


def parse_llm(given: Sequence[str], spec: str) -> "LlmSettings | None":
    """Settings of `llm` presence from NAME=VALUE; None where there are none.

    Raises:
        ConfigError: an unknown setting, a value out of range, or a filter that is not `llm`.
    """
    if not given:
        return None
    if not spec.startswith("llm:"):
        raise ConfigError(f"--llm is for --presence llm:MODEL; the presence asked for is {spec!r}")
    from pydantic import ValidationError

    from pnpovss.presence import LlmSettings

    settings = parse_settings(given)
    if unknown := [name for name in settings if name not in LlmSettings.model_fields]:
        known = "; ".join(f"{name} ({field.description})" for name, field in LlmSettings.model_fields.items())
        raise ConfigError(f"unknown llm setting {unknown[0]!r}; known: {known}")
    try:
        return LlmSettings(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"llm setting {first['loc'][0]}: {first['msg']}, got {first.get('input')!r}") from error


def late_presence(spec: str, early: "PresenceFilter | None", segmenter: "Segmenter") -> "PresenceFilter | None":
    """A filter that was made before, or one that asks the segmenter's own model; None without one."""
    if spec == EVERYTHING or early is not None:
        return early
    from pnpovss.presence import make_presence

    return make_presence(spec, backbone=segmenter.backbone, config=segmenter.config)


def tell_presence(presence: "PresenceFilter | None", notes: Console) -> None:
    """What the filter did besides looking: requests, failures, tokens, cost."""
    told = presence.report() if presence else {}
    if presence and set(told) - {"photos"}:
        say(notes, f"{presence.key}: " + ", ".join(f"{key} {value:g}" for key, value in told.items() if value), "dim")
