"""How good a presence filter is: its decisions and scores against the names that the masks hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from pnpovss.presence.base import Presence

__all__ = ["PresenceQuality", "average_precision"]


@dataclass
class PresenceQuality:
    """Collects decisions photo by photo; of one vocabulary.

    Precision and recall are of all decisions together; the average precision is the mean over the names that some
    photo holds, as in Pascal VOC's classification task.
    """

    _scores: list[tuple[float, ...]] = field(default_factory=list)
    _kept: list[set[int]] = field(default_factory=list)
    _truth: list[set[int]] = field(default_factory=list)

    def add(self, presence: Presence, truth: Sequence[int]) -> None:
        """One more photo.

        Args:
            presence: what the filter decided.
            truth: indices of the names that are there.
        """
        self._scores.append(presence.scores)
        self._kept.append(set(presence.kept))
        self._truth.append(set(truth))

    def __len__(self) -> int:
        return len(self._truth)

    @property
    def precision(self) -> float:
        """Share of the kept names that are there; NaN when none was kept."""
        return _ratio(self._hits, sum(map(len, self._kept)))

    @property
    def recall(self) -> float:
        """Share of the names that are there that were kept; NaN when no photo holds any."""
        return _ratio(self._hits, sum(map(len, self._truth)))

    @property
    def mean_kept(self) -> float:
        """Names kept a photo."""
        return _ratio(sum(map(len, self._kept)), len(self))

    @property
    def mean_there(self) -> float:
        """Names that are there a photo."""
        return _ratio(sum(map(len, self._truth)), len(self))

    @property
    def average_precisions(self) -> tuple[float, ...]:
        """One a name, NaN for names that no photo holds."""
        if not self._scores:
            return ()
        scores = np.array(self._scores, dtype=np.float64)
        there = np.zeros(scores.shape, dtype=bool)
        for row, truth in zip(there, self._truth, strict=True):
            row[list(truth)] = True
        return tuple(average_precision(scores[:, i], there[:, i]) for i in range(scores.shape[1]))

    @property
    def mean_average_precision(self) -> float:
        """Mean over the names that some photo holds; NaN when there are none."""
        found = [value for value in self.average_precisions if value == value]
        return _ratio(sum(found), len(found))

    def as_dict(self) -> dict[str, float | int | None]:
        """As JSON-ready values, None for NaN."""
        values = {
            "precision": self.precision,
            "recall": self.recall,
            "average_precision": self.mean_average_precision,
            "kept_per_photo": self.mean_kept,
        }
        return {"photos": len(self), **{name: None if value != value else value for name, value in values.items()}}

    @property
    def _hits(self) -> int:
        return sum(len(kept & truth) for kept, truth in zip(self._kept, self._truth, strict=True))


def average_precision(scores: Float[np.ndarray, " photo"], there: Bool[np.ndarray, " photo"]) -> float:
    """Area under the precision-recall curve as a sum over its steps; NaN when the name is in no photo.

    Photos of equal score enter together, so their order does not count. No interpolation.
    """
    if not there.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(there[order])
    last_of_score = np.append(np.diff(scores[order]) != 0, True)
    precision = hits[last_of_score] / (np.flatnonzero(last_of_score) + 1)
    recall = hits[last_of_score] / there.sum()
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
