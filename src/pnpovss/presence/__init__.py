"""Which of many names are in a photo."""

from pnpovss.presence.base import Presence, PresenceFilter, Rule, parse_rule
from pnpovss.presence.catalog import asks_model, known_filters, make_presence
from pnpovss.presence.llm import LlmSettings
from pnpovss.presence.quality import PresenceQuality

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
