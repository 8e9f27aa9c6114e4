"""The two filters that look at nothing: all names, and those that the truth has."""

from collections.abc import Sequence

from pnpovss.errors import PresenceError
from pnpovss.names import Name
from pnpovss.presence.base import Photo, Presence, Report
from pnpovss.presence.spec import PresenceSpec

__all__ = ["ALL", "ORACLE", "AllNames", "Oracle"]


class AllNames:
    """Holds every name to be in every photo."""

    key = "all"

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """See `PresenceFilter.decide`."""
        return Presence(tuple(range(len(names))), (1.0,) * len(names))

    def report(self) -> Report:
        """Nothing to tell."""
        return {}


class Oracle:
    """Takes the names from the truth: an easier protocol than any that looks, to be stated with every number."""

    key = "oracle"

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """See `PresenceFilter.decide`.

        Raises:
            PresenceError: no truth was given.
        """
        if photo.truth is None:
            raise PresenceError("oracle names come from masks, and this photo has none; use another presence filter")
        there = set(photo.truth)
        return Presence(tuple(sorted(there)), tuple(float(i in there) for i in range(len(names))))

    def report(self) -> Report:
        """Nothing to tell."""
        return {}


def _refuse_argument(argument: str) -> None:
    if argument:
        raise PresenceError(f"`all` and `oracle` take no rule and no argument, got {argument!r}")


ALL = PresenceSpec(
    key="all",
    summary="every name, in every photo",
    make=lambda argument, context: AllNames(),
    check=_refuse_argument,
)
ORACLE = PresenceSpec(
    key="oracle",
    summary="the names that the mask holds; only where there are masks",
    make=lambda argument, context: Oracle(),
    check=_refuse_argument,
    needs_truth=True,
)
