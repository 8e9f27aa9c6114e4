"""Things of one name told apart: which pixels belong to which, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Float, Integer

from pnpovss.errors import InvalidInputError
from pnpovss.results import checks
from pnpovss.results.regions import Region, box_of

__all__ = ["MOST", "Instance", "Instances"]

MOST = 65_535  # what 16 bits count


@dataclass(frozen=True, eq=False)
class Instance(Region):
    """One thing: a region with a number and a heat map of its own.

    Attributes:
        number: its value in `Instances.map`, from 1.
        heat: Float32 "gh gw", not negative: its share of its name's heat map, patch by patch.
    """

    number: int
    heat: Float[np.ndarray, "gh gw"]


@dataclass(frozen=True, eq=False)
class Instances(Sequence[Instance]):
    """The things in one photo, in the order of their names and, within a name, the largest first.

    No two of them overlap. With the rule "join" (the default) those of a name are together its whole region.

    Attributes:
        map: UInt16 "h w": 0 belongs to no thing, i + 1 to the i-th.
        name_index: of each, position of its name among those asked for.
        scores: of each, mean probability of its name over its pixels, in [0, 1].
        heat: Float32 "instance gh gw", see `Instance.heat`.
        redrawn_by: the model that moved the borders between things afterwards; None without one.
    """

    map: Integer[np.ndarray, "h w"]
    name_index: tuple[int, ...]
    scores: tuple[float, ...]
    heat: Float[np.ndarray, "instance gh gw"]
    redrawn_by: str | None = None

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together.

        Raises:
            InvalidInputError: another type, shape or range; a thing without pixels, or pixels without a thing.
        """
        checks.check_array("instances", self.map, np.uint16, ("h", "w"))
        checks.check_array("heat maps of instances", self.heat, np.float32, (len(self.name_index), "gh", "gw"))
        checks.check_range("heat maps of instances", self.heat)
        count = len(self.name_index)
        if len(self.scores) != count:
            raise InvalidInputError(f"{len(self.scores)} scores for {count} instances; expected one each")
        for score in self.scores:
            checks.check_probability("score of an instance", score)
        there = np.flatnonzero(np.bincount(self.map.ravel())[1:]) + 1
        if there.tolist() != list(range(1, count + 1)):
            raise InvalidInputError(
                f"instances hold {there.size} numbers up to {there.max(initial=0)}, but {count} are named; "
                "each has pixels, and numbers count from 1"
            )

    def __len__(self) -> int:
        return len(self.name_index)

    @overload
    def __getitem__(self, place: int) -> Instance: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Instance]: ...
    def __getitem__(self, place: int | slice) -> Instance | Sequence[Instance]:
        """The thing at a position, or several; made anew each time."""
        if isinstance(place, slice):
            return [self._one(i) for i in range(len(self))[place]]
        return self._one(range(len(self))[place])

    def _one(self, place: int) -> Instance:
        mask = self.map == place + 1
        return Instance(
            index=self.name_index[place],
            mask=mask,
            box=box_of(mask),
            area=int(mask.sum()),
            score=self.scores[place],
            number=place + 1,
            heat=self.heat[place],
        )

    def check_labels(self, labels: Integer[np.ndarray, "h w"]) -> None:
        """Hold every pixel's thing against its label.

        Raises:
            InvalidInputError: another size, or a thing with pixels of another name.
        """
        if self.map.shape != labels.shape:
            raise InvalidInputError(f"instances have shape {self.map.shape}, the labels {labels.shape}")
        lookup = np.array([0, *(index + 1 for index in self.name_index)])
        if foreign := int((lookup[self.map] != labels)[self.map > 0].sum()):
            raise InvalidInputError(f"{foreign:,} pixels belong to things of another name than their label says")
