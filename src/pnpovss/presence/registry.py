"""Every presence filter by the word that asks for it: this package's own, and those of installed packages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pnpovss.errors import PnpOvssError, PresenceError
from pnpovss.plugins import Registry
from pnpovss.presence.base import PresenceFilter
from pnpovss.presence.spec import PresenceContext, PresenceSpec

__all__ = ["PresenceRequest", "known_filters", "make_presence", "parse_presence", "refuse_idle", "register"]

_filters = Registry(
    "presence filter",
    PresenceSpec,
    "pnpovss.presence",
    {
        "all": "pnpovss.presence.given:ALL",
        "oracle": "pnpovss.presence.given:ORACLE",
        "itm": "pnpovss.presence.own_model:ITM",
        "itc": "pnpovss.presence.own_model:ITC",
        "itm+itc": "pnpovss.presence.own_model:BOTH",
        "itm+itc+attention": "pnpovss.presence.own_model:ATTENTION",
        "file": "pnpovss.presence.file:FILE",
        "clip": "pnpovss.presence.clip:CLIP",
        "llm": "pnpovss.presence.llm.filter:LLM",
    },
)


@dataclass(frozen=True)
class PresenceRequest:
    """A filter as it was asked for: "itm:0.8" is the spec of itm and the argument "0.8"."""

    spec: PresenceSpec
    argument: str

    def make(self, context: PresenceContext) -> PresenceFilter:
        """The filter.

        Raises:
            PresenceError: it lacks what it needs, or the code of another package fails.
            CheckpointError: a checkpoint that cannot be had.
        """
        if self.spec.asks_model and context.backbone is None:
            raise PresenceError(f"{self.spec.key} asks the segmenting model; give make_presence its backbone")
        try:
            made = self.spec.make(self.argument, context)
        except PnpOvssError:
            raise
        except Exception as error:  # of a filter that another package brings
            raise PresenceError(
                f"the presence filter {self.spec.key!r} cannot be made: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, PresenceFilter):
            raise PresenceError(
                f"the presence filter {self.spec.key!r} made a {type(made).__name__}, without key, decide or report"
            )
        return made


def register(spec: PresenceSpec) -> PresenceSpec:
    """Add a filter; a package may also name its spec under the entry point `pnpovss.presence`.

    Raises:
        ValueError: the key is taken by another spec.
    """
    return _filters.register(spec)


def known_filters() -> dict[str, PresenceSpec]:
    """Every filter by its key; an installed one that is broken is left out, and a warning names its package."""
    return _filters.known()


def parse_presence(text: str) -> PresenceRequest:
    """A filter as it is written on the command line, checked as far as that needs no model.

    Args:
        text: "all", "oracle", "itm", "itm:0.4", "itc:top3", "itm+itc", "itm+itc+attention", "file:PATH", "clip:MODEL",
            "llm:MODEL", or the key of an installed filter, with or without an argument.

    Raises:
        PresenceError: an unknown filter, a broken one, or an argument that it refuses.
    """
    key, _, argument = text.partition(":")
    filters = known_filters()
    if key in _filters.broken:
        raise PresenceError(_filters.broken[key])
    if key not in filters:
        raise PresenceError(f"unknown presence filter {text!r}; known: {', '.join(filters)}")
    filters[key].check(argument)
    return PresenceRequest(filters[key], argument)


def make_presence(text: str, **context: Any) -> PresenceFilter:
    """A presence filter from how it is written on the command line; the rest are fields of `PresenceContext`.

    Raises:
        PresenceError: an unknown filter, or one that lacks what it needs.
        CheckpointError: a checkpoint that cannot be had.
    """
    return parse_presence(text).make(PresenceContext(**context))


def refuse_idle(settings: Mapping[str, Any], text: str) -> None:
    """Refuse settings of the step `presence` where a filter decides in its place: they would change nothing.

    Args:
        settings: those that were asked for, by dotted name.
        text: the filter, as it is written on the command line.

    Raises:
        PresenceError: one of them is of that step, and does not turn it off.
    """
    for name, value in settings.items():
        if name.partition(".")[0] == "presence" and value is not None:
            raise PresenceError(
                f"the setting {name} is of the step presence, in whose place the filter {text!r} decides; leave the "
                f"setting out, or give the filter a bar of its own, such as itm:0.4"
            )
