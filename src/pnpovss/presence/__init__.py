"""Which of many names are in a photo."""

from pnpovss.presence.base import Presence, PresenceFilter, Rule, parse_rule
from pnpovss.presence.llm.filter import LlmSettings
from pnpovss.presence.quality import PresenceQuality
from pnpovss.presence.registry import asks_model, known_filters, make_presence

__all__ = [
    "LlmSettings",
    "Presence",
    "PresenceFilter",
    "PresenceQuality",
    "Rule",
    "asks_model",
    "known_filters",
    "make_presence",
    "parse_rule",
]
