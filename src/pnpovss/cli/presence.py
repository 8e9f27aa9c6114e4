"""`--presence`: ask the segmenter only for names that a filter holds to be in the photo."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from pnpovss.cli.settings import parse_settings
from pnpovss.cli.terminal import say
from pnpovss.errors import ConfigError, PresenceError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["early_presence", "late_presence", "parse_llm", "tell_presence"]

EVERYTHING = "all"


def early_presence(
    spec: str,
    llm: Sequence[str] = (),
    *,
    device: str = "auto",
    local_files_only: bool = False,
    masks: bool = False,
    photos: Sequence[str] = (),
) -> "PresenceFilter | None":
    """What can be refused or made before a model is loaded; None for filters that ask the model, and without one.

    Args:
        spec: of the filter.
        llm: settings of a filter that has some, as NAME=VALUE.
        device: where `clip` computes.
        local_files_only: whether `clip` must not ask a hub.
        masks: whether the photos have masks, which `oracle` needs; then `all` is a filter, too, for the record.
        photos: all that will be asked about, where that is known.

    Raises:
        PresenceError: an unknown filter, one that lacks what it needs, or `oracle` without masks.
        ConfigError: a setting that is unknown or out of range, or given to a filter that has none.
    """
    if spec == EVERYTHING and not masks and not llm:
        return None
    from pnpovss.presence import PresenceContext, parse_presence

    request = parse_presence(spec)
    if request.spec.needs_truth and not masks:
        raise PresenceError(f"{spec} names come from masks, and photos have none; use another filter, such as itm")
    settings = parse_llm(llm, spec)
    if request.spec.asks_model:
        return None
    from pnpovss.backbones.base import LoadOptions
    from pnpovss.loading import parse_device

    load = LoadOptions(parse_device(device), local_files_only=local_files_only)
    return request.make(PresenceContext(settings=settings, load=load, photos=tuple(photos)))


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
