"""Which of many names are in a photo."""

from pnpovss.presence.base import Presence, PresenceFilter, Rule, parse_rule

__all__ = ["Presence", "PresenceFilter", "Rule", "parse_rule"]
