"""Let another model move the borders between things, told where each is by a box and points."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from pnpovss.errors import InvalidInputError
from pnpovss.instances.find import gather
from pnpovss.results.instances import Instances
from pnpovss.results.regions import inner_point
from pnpovss.results.segmentation import Segmentation

__all__ = ["Hint", "Refiner", "hints_of", "redraw"]

Point = tuple[int, int]  # x, y [px]


@dataclass(frozen=True)
class Hint:
    """Where a thing is.

    Attributes:
        box: left, top, right, bottom [px]; right and bottom lie outside.
        inside: a point well inside of it.
        outside: such points of the other things of its name.
    """

    box: tuple[int, int, int, int]
    inside: Point
    outside: tuple[Point, ...]


@runtime_checkable
class Refiner(Protocol):
    """Draws things from hints; a Segment Anything model, say.

    Attributes:
        name: of the model, for the record.
    """

    name: str

    def draw(self, photo: UInt8[np.ndarray, "h w 3"], hints: Sequence[Hint]) -> Float[np.ndarray, "thing h w"]:
        """How sure each pixel belongs to each thing: a logit, above 0 where it does.

        Args:
            photo: RGB in [0, 255].
            hints: one per thing, at least one.
        """
        ...


def hints_of(things: Instances) -> list[Hint]:
    """A hint for each thing."""
    points = [inner_point(thing.mask) for thing in things]
    found = []
    for i, thing in enumerate(things):
        x, y, width, height = thing.box
        others = [points[j] for j, index in enumerate(things.name_index) if index == thing.index and j != i]
        found.append(Hint((x, y, x + width, y + height), points[i], tuple(others)))
    return found


def redraw(result: Segmentation, photo: UInt8[np.ndarray, "h w 3"], refiner: Refiner) -> Segmentation:
    """The result with the borders between things of one name where a refiner sees them.

    A name's region stays what it is: each of its pixels goes to the thing that is surest of it, or stays where it is if
    none claims it. A thing that loses all its pixels is gone. For masks that are not held to regions, call
    `refiner.draw(photo, hints_of(result.instances))`.

    Args:
        result: with instances.
        photo: the one that was segmented.
        refiner: another model.

    Raises:
        InvalidInputError: instances were not told apart, or the photo has another size.
    """
    things = result.instances
    if things is None:
        raise InvalidInputError("instances were not told apart; segment with instances=, or --instances")
    if photo.shape[:2] != result.size:
        raise InvalidInputError(f"the result is of a photo of shape {result.size}, this one has {photo.shape[:2]}")
    if not len(things):
        return replace(result, instances=replace(things, redrawn_by=refiner.name))
    sure = refiner.draw(photo, hints_of(things))
    drawn = things.map.astype(np.int32)
    for index in set(things.name_index):
        own = [i for i, name in enumerate(things.name_index) if name == index]
        claimed = (sure[own].max(0) > 0) & (result.labels == index + 1) & (things.map > 0)
        drawn[claimed] = np.array(own)[sure[own][:, claimed].argmax(0)] + 1
    told = gather(drawn, result.labels, result.scores, result.kept, result.heatmaps.names, refiner.name)
    return replace(result, instances=told)
