"""All masks of a run, looked at before its first photo: is there anything to measure, do values mean what they say?

Reading masks takes milliseconds each, a run takes hours; and the usual mistakes give numbers that look fine.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pnpovss.datasets.base import IGNORE, Dataset, LabelSpace, Sample, value_list
from pnpovss.errors import DatasetError
from pnpovss.printable import first_of

__all__ = ["check_masks"]

logger = logging.getLogger(__name__)

MOSTLY = 0.5  # share of the pixels that are left out, above which it is said
SHOWN = 8  # values or names in a message


def check_masks(dataset: Dataset, samples: Sequence[Sample]) -> None:
    """Read all masks; refuse what cannot be measured, warn of what is probably a mistake.

    Classes that no mask holds are told for data sets of one's own only: parts of benchmarks often miss some.

    Raises:
        DatasetError: a mask that cannot be used, by name; or no mask holds a pixel of any class but the background.
    """
    pixels, where = _values(dataset, samples)
    space = dataset.space
    _refuse_unknown(dataset, pixels, where)
    rows = {value: space.row(value) for value in pixels}
    found = {row for row in rows.values() if row is not None and row >= space.first}
    ignored = sum(count for value, count in pixels.items() if rows[value] == IGNORE)
    share = ignored / max(sum(pixels.values()), 1)
    if not found:
        raise DatasetError(
            f"nothing is left to measure: no pixel of {len(samples)} masks belongs to a class that is asked for "
            f"({first_of([name.text for name in space.names], SHOWN)}). The masks hold {_told(space, pixels)}"
            f"{_advice(space, pixels)}"
        )
    if share > MOSTLY:
        logger.warning(
            "%.0f%% of the pixels of the masks are left out of the score (%s)", 100 * share, _told(space, pixels)
        )
    missing = [name.text for i, name in enumerate(space.names) if space.first + i not in found]
    if missing and dataset.full is None:
        logger.warning("no mask holds %s; is every value that of its line in the names?", first_of(missing, SHOWN))


def _values(dataset: Dataset, samples: Sequence[Sample]) -> tuple[dict[int, int], dict[int, Path]]:
    """Pixels of each mask value over all masks, and a mask that holds it."""
    pixels: dict[int, int] = {}
    where: dict[int, Path] = {}
    for sample in samples:
        counts = np.bincount(dataset.values(sample).ravel())
        for value in np.flatnonzero(counts).tolist():
            pixels[value] = pixels.get(value, 0) + int(counts[value])
            where.setdefault(value, sample.mask)
    return dict(sorted(pixels.items())), where


def _refuse_unknown(dataset: Dataset, pixels: Mapping[int, int], where: Mapping[int, Path]) -> None:
    space = dataset.space
    unknown = [value for value in pixels if space.row(value) is None]
    if not unknown:
        return
    shown = ", ".join(f"{value} ({pixels[value]} px)" for value in unknown[:SHOWN])
    hint = _shift(space, pixels, unknown) if dataset.full is None else ""
    raise DatasetError(
        f"{where[unknown[0]]}: mask values {shown} are no class of {space.key} ({space.protocol} protocol); it has "
        f"{value_list(space.values)}{hint}"
    )


def _shift(space: LabelSpace, pixels: Mapping[int, int], unknown: Sequence[int]) -> str:
    """What to do where the values look as if they were counted from another start than the names."""
    if unknown == [len(space.classes)] and 0 in pixels and not space.counts_background:
        return "; if value 0 is the background, begin the names with a line that says background"
    own = [value for value in pixels if space.row(value) != IGNORE]
    if 0 not in own and all(space.row(value - 1) is not None for value in own):
        return "; all values are one greater than the line numbers from 0: write the values before the names (1: cat)"
    return "; write the mask values before the names (15: cat), or the missing names into their lines"


def _told(space: LabelSpace, pixels: Mapping[int, int]) -> str:
    """The mask values with their share of the pixels and their meaning."""
    total = sum(pixels.values())
    parts = []
    for value, count in list(pixels.items())[:SHOWN]:
        row = space.row(value)
        meaning = "left out" if row in (None, IGNORE) else space.classes[row]
        parts.append(f"{value} ({100 * count / total:.1f}%, {meaning})")
    return ", ".join(parts) + (", ..." if len(pixels) > SHOWN else "")


def _advice(space: LabelSpace, pixels: Mapping[int, int]) -> str:
    if 255 in pixels and space.row(255) == IGNORE and len(space.names) == 1:
        name = space.names[0].text
        return f". 255 is left out; where it means {name!r}, write so in the names: 255: {name}, and 0: background"
    return ". Do the values begin at another number than the names? Write them before the names (15: cat)"
