"""Which of many names are in a photo: what a filter answers, and how it decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pnpovss.errors import PresenceError
from pnpovss.images import ImageSource
from pnpovss.names import Name

__all__ = ["Presence", "PresenceFilter", "Report", "Rule", "parse_rule"]

Report = dict[str, float | int | str]


@dataclass(frozen=True)
class Presence:
    """Which names a filter holds to be in one photo.

    Attributes:
        kept: indices into the vocabulary, ascending; empty only where the filter was told that nothing is there
            (`oracle` for a photo of background alone, `file` and `llm` where the answer names nothing).
        scores: one for every name of the vocabulary; greater is more likely. In [0, 1], except for cosines (`itc`).
        note: what went wrong and was got round, for the log and the record; None when nothing did.
    """

    kept: tuple[int, ...]
    scores: tuple[float, ...]
    note: str | None = None


@runtime_checkable
class PresenceFilter(Protocol):
    """Decides which names of a vocabulary are in a photo."""

    @property
    def key(self) -> str:
        """The filter with its rule, as results record it ("itm:0.9")."""
        ...

    def decide(
        self,
        image: ImageSource,
        names: Sequence[Name],
        sample_key: str | None = None,
        truth: Sequence[int] | None = None,
    ) -> Presence:
        """Decide for one photo.

        Args:
            image: the photo.
            names: the vocabulary; what a filter computes of it is kept for the next photo.
            sample_key: the photo's key in its data set, or its file name without suffix; `file` looks it up.
            truth: indices of the names that are there; only `oracle` uses it.

        Raises:
            PresenceError: the filter needs what was not given, or could not be asked about this photo.
        """
        ...

    def report(self) -> Report:
        """What happened so far, for the record: photos, failures, malformed answers, tokens; may be empty."""
        ...


@dataclass(frozen=True)
class Rule:
    """Turns scores into a decision; all that is not None must hold. If nothing passes, the best name is kept.

    Attributes:
        above: scores must be greater than this.
        top: greatest number of names.
        within: greatest distance below the best score.
    """

    above: float | None = None
    top: int | None = None
    within: float | None = None

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise PresenceError(f"top{self.top} would keep no name; give 1 or more")
        if self.within is not None and not self.within >= 0:
            raise PresenceError(f"within is a distance below the best score, 0 or more; got {self.within}")

    def keep(self, scores: Sequence[float]) -> tuple[int, ...]:
        """Indices of the names that pass, ascending; equal scores at the edge of `top` go by order."""
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        best = scores[order[0]]
        passing = [
            i
            for i in order[: self.top]
            if (self.above is None or scores[i] > self.above)
            and (self.within is None or scores[i] >= best - self.within)
        ]
        return tuple(sorted(passing or order[:1]))

    def __str__(self) -> str:
        parts = (
            "" if self.above is None else f"{self.above:g}",
            "" if self.top is None else f"top{self.top}",
            "" if self.within is None else f"within{self.within:g}",
        )
        return ",".join(part for part in parts if part)


def parse_rule(text: str) -> Rule:
    """A rule as it is written on the command line: "0.4", "top3", "within0.05", or several with commas.

    Raises:
        PresenceError: none of these.
    """
    above: float | None = None
    top: int | None = None
    within: float | None = None
    for part in (part.strip() for part in text.split(",")):
        try:
            if part.startswith("top"):
                top = int(part.removeprefix("top"))
            elif part.startswith("within"):
                within = float(part.removeprefix("within"))
            else:
                above = float(part)
        except ValueError as error:
            raise PresenceError(
                f"{part!r} is no rule for keeping names; write a score to exceed (0.4), top3 (the best three) or "
                f"within0.05 (at most so far below the best), or several with commas"
            ) from error
    return Rule(above, top, within)
