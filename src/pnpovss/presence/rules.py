"""From scores to a decision: which names are kept."""

from collections.abc import Sequence
from dataclasses import dataclass

from pnpovss.errors import PresenceError

__all__ = ["Rule", "parse_rule"]


@dataclass(frozen=True)
class Rule:
    """Turns scores into a decision; all that is not None must hold. If nothing passes, the best name is kept.

    Attributes:
        above: scores must be greater than this, 1 at most.
        top: greatest number of names.
        within: greatest distance below the best score.
    """

    above: float | None = None
    top: int | None = None
    within: float | None = None

    def __post_init__(self) -> None:
        if self.above is not None and not self.above <= 1:
            raise PresenceError(
                f"no score exceeds {self.above:g}, for scores end at 1; write 0.7 for 70%, or top3 for the best three"
            )
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
        PresenceError: none of these, or out of range.
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
