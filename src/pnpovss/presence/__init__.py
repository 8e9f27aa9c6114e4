"""Which of many names are in a photo."""

from pnpovss.presence.base import Photo, Presence, PresenceFilter, UnansweredError
from pnpovss.presence.llm.filter import LlmSettings
from pnpovss.presence.quality import PresenceQuality
from pnpovss.presence.registry import known_filters, make_presence, parse_presence, register
from pnpovss.presence.rules import Rule, parse_rule
from pnpovss.presence.spec import PresenceContext, PresenceSpec

__all__ = [
    "LlmSettings",
    "Photo",
    "Presence",
    "PresenceContext",
    "PresenceFilter",
    "PresenceQuality",
    "PresenceSpec",
    "Rule",
    "UnansweredError",
    "known_filters",
    "make_presence",
    "parse_presence",
    "parse_rule",
    "register",
]
