"""What a tuning found, as one HTML page that needs nothing else, with its pictures and tables as files beside it."""

import io
import json
import math
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pnpovss.evaluation.runs.sweeps import table_csv
from pnpovss.presets import Tuned
from pnpovss.tuning.cells import Cell
from pnpovss.tuning.outcome import Outcome
from pnpovss.tuning.report.plots import heads_png, sheet_png, thresholds_png, trials_png
from pnpovss.tuning.report.sheet import Sheet, sheet
from pnpovss.tuning.search import Found
from pnpovss.tuning.tables import cell_rows, head_rows
from pnpovss.tuning.truth import AgainstMasks

__all__ = ["report_files"]

_CELLS = 20  # shown; all are in the table beside the page


def report_files(
    outcome: Outcome, tuned: Tuned, chosen: Cell, found: Found | None, truth: AgainstMasks | None, folder: Path
) -> dict[Path, bytes]:
    """The page and its pictures, by path.

    Args:
        outcome: of heads and thresholds.
        tuned: the answer.
        chosen: its heads and threshold, which the search may have chosen otherwise than `outcome`.
        found: by the search over the whole method; None where there was none.
        truth: how rewards do against masks; None where none were given.
        folder: of the tuning.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    shown = sheet(outcome, head_rows(outcome))
    pictures = {"heads": heads_png(outcome, chosen)}
    if len(outcome.plan.thresholds) > 1:
        pictures["thresholds"] = thresholds_png(outcome)
    if found is not None:
        pictures["trials"] = trials_png(found.rows)
    files = {folder / f"{name}.png": content for name, content in pictures.items()}
    files[folder / "sheet.png"] = sheet_png(shown)
    if found is not None:
        files[folder / "trials.csv"] = table_csv(found.rows).encode()
    page = _page(outcome, tuned, chosen, found, truth, pictures, shown)
    return {**files, folder / "report.html": page.encode()}


def _page(
    outcome: Outcome,
    tuned: Tuned,
    chosen: Cell,
    found: Found | None,
    truth: AgainstMasks | None,
    pictures: dict[str, bytes],
    shown: Sheet,
) -> str:
    heads, cells = head_rows(outcome), cell_rows(outcome)
    return _template().render(
        tuned=tuned,
        settings=json.dumps(tuned.settings),
        chosen=chosen,
        winner=outcome.winner,
        compares_heads=outcome.compares_heads,
        reference=None if outcome.reference is None else outcome.cells[outcome.reference],
        change=None if outcome.reference is None else _change(outcome),
        sure=outcome.sure,
        end=_end(outcome.plan.thresholds, chosen.threshold),
        pictures={name: _url(content, "png") for name, content in pictures.items()},
        names=shown.names,
        photos=[_jpeg(photo) for photo in shown.photos],
        sheet=[(row.head, row.value, [_jpeg(picture) for picture in row.pictures]) for row in shown.rows],
        cell_columns=list(cells[0]),
        cells=[[_cell(value) for value in row.values()] for row in cells[:_CELLS]],
        more=max(0, len(cells) - _CELLS),
        head_columns=list(heads[0]),
        heads=[[_cell(value) for value in row.values()] for row in heads],
        found=found,
        truth=truth,
        truth_rows=[
            [each.name, _rank(each.correlation), each.pick, f"{100 * each.miou:.1f}", f"{100 * each.lost:.1f}"]
            for each in (truth.rows if truth else ())
        ],
    )


def _rank(correlation: float) -> str:
    return "none: all mIoUs are the same" if math.isnan(correlation) else f"{correlation:+.2f}"


def _end(levels: Sequence[float], own: float) -> str | None:
    """Whether the chosen threshold is the last one at an end of those that were tried."""
    if len(levels) < 2 or own not in (levels[0], levels[-1]):
        return None
    return "lowest" if own == levels[0] else "highest"


def _jpeg(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=72)
    return _url(content.getvalue(), "jpeg")


def _url(content: bytes, kind: str) -> str:
    """A picture as part of a page."""
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def _change(outcome: Outcome) -> float:
    assert outcome.reference is not None
    means = outcome.rewards.mean(0)
    return float(means[outcome.sure.winner] - means[outcome.reference])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _template() -> Any:
    """The page's template: everything that is put into it is escaped, and nothing may be missing."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pnpovss.tuning.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda value: "an unknown share" if value is None else f"{100 * value:.0f}%"
    return environment.get_template("tuning.html.j2")
