"""The two filters that look at nothing: all names, and those that the truth has."""

from collections.abc import Sequence

from pnpovss.errors import PresenceError
from pnpovss.images import ImageSource
from pnpovss.names import Name
from pnpovss.presence.base import Presence, Report

__all__ = ["AllNames", "Oracle"]


class AllNames:
    """Holds every name to be in every photo."""

    key = "all"

    def decide(
        self,
        image: ImageSource,
        names: Sequence[Name],
        sample_key: str | None = None,
        truth: Sequence[int] | None = None,
    ) -> Presence:
        """See `PresenceFilter.decide`."""
        return Presence(tuple(range(len(names))), (1.0,) * len(names))

    def report(self) -> Report:
        """Nothing to tell."""
        return {}


class Oracle:
    """Takes the names from the truth: an easier protocol than any that looks, to be stated with every number."""

    key = "oracle"

    def decide(
        self,
        image: ImageSource,
        names: Sequence[Name],
        sample_key: str | None = None,
        truth: Sequence[int] | None = None,
    ) -> Presence:
        """See `PresenceFilter.decide`.

        Raises:
            PresenceError: no truth was given.
        """
        if truth is None:
            raise PresenceError("oracle names come from masks, and this photo has none; use another presence filter")
        there = set(truth)
        return Presence(tuple(sorted(there)), tuple(float(i in there) for i in range(len(names))))

    def report(self) -> Report:
        """Nothing to tell."""
        return {}
