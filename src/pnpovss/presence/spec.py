"""A presence filter as the registry lists it: its key, what it needs, and how it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from pnpovss.config import Config
from pnpovss.plugins import Spec
from pnpovss.presence.base import PresenceFilter
from pnpovss.presence.rules import Rule

if TYPE_CHECKING:
    from pnpovss.backbones.base import Backbone, LoadOptions

__all__ = ["PresenceContext", "PresenceSpec"]


@dataclass(frozen=True)
class PresenceContext:
    """What a filter may be made with, beside its argument.

    Attributes:
        backbone: the segmenting model; there for specs that ask for it, else perhaps None.
        config: the segmenter's, whose image size and proportions a filter that asks its model follows.
        load: how a checkpoint is loaded; None for the usual way.
        rule: turns scores into a decision, instead of the filter's own.
        settings: of the spec's class; None where none were given.
        photos: keys of all photos that will be asked about, where that is known.
    """

    backbone: "Backbone | None" = None
    config: Config | None = None
    load: "LoadOptions | None" = None
    rule: Rule | None = None
    settings: BaseModel | None = None
    photos: tuple[str, ...] = ()


def _accept(argument: str) -> None:
    """Take any argument."""


@dataclass(frozen=True)
class PresenceSpec(Spec):
    """An entry of the registry; its key asks for it ("itm"), and "key:ARGUMENT" gives it an argument.

    Attributes:
        make: the filter, from its argument ("" where none was given); raises a `PresenceError` where that cannot be.
        check: refuses an argument before a model is loaded, by a `PresenceError`; what `make` finds is soon enough
            for filters that need none.
        asks_model: whether it needs the segmenting model.
        needs_truth: whether it works only where photos have masks.
        settings: the class of its settings, of which each field has a description; None where it has none.
    """

    make: Callable[[str, PresenceContext], PresenceFilter]
    check: Callable[[str], None] = _accept
    asks_model: bool = False
    needs_truth: bool = False
    settings: type[BaseModel] | None = None
