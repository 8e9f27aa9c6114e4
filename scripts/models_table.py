"""Fill what was measured into the table of docs/models.md: parameters, input, dtype, seconds and memory of checkpoints.

    python -m scripts.models_table

The numbers come from benchmarks/results/models.json (`python -m benchmarks.models`). Rows of checkpoints that were not
measured, and all other columns, stay as they are.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.real_sizes import SIZES

ROOT = Path(__file__).parent.parent
PAGE, MEASURED = ROOT / "docs/models.md", ROOT / "benchmarks/results/models.json"
COLUMNS = ("parameters", "input, patches", "dtype", "3 names [s]", "10 names [s]", "memory [GiB]")


def filled(page: str, measured: dict[str, Any]) -> str:
    """The page with the cells of what was measured.

    Args:
        page: Markdown with a table that has `COLUMNS`, and the name of a checkpoint first in each row.
        measured: by name of `benchmarks.real_sizes.SIZES`, as `benchmarks.models` keeps it.
    """
    known = {
        SIZES[name].like: {**found, "dtype": SIZES[name].dtype}
        for name, found in measured.items()
        if "seconds" in found
    }
    lines, heading = [], []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if set(COLUMNS) <= set(cells):
            heading = cells
        elif not line.startswith("|"):
            heading = []
        elif heading and (found := known.get(cells[1].strip("`"))):
            for column in COLUMNS:
                place = heading.index(column)
                cells[place] = _cell(column, cells[place], found)
            line = " ".join(["|", " | ".join(cells[1:-1]), "|"])
        lines.append(line)
    return "\n".join(lines) + "\n"


def _cell(column: str, before: str, found: dict[str, Any]) -> str:
    """What stands in a cell; what was written by hand after the input's size stays."""
    if column == "parameters":
        millions = found["parameters"] / 1e6
        return f"{millions:.0f} M" if millions < 999.5 else f"{millions / 1000:.1f} B"
    if column == "input, patches":
        rest = re.sub(r"^\d+ px, \d+ x \d+", "", before)
        return f"{found['image_size']} px, {found['grid'][0]} x {found['grid'][1]}{rest}"
    if column == "dtype":
        return found["dtype"]
    if column == "memory [GiB]":
        return f"{found['peak_gib']:.1f}"
    return f"{found['seconds'][column.split()[0]]:.2f}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(), json.loads(MEASURED.read_text())))
