"""Runs side by side as one HTML page that needs nothing else: tables, bars, what makes up the score, photos."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.report.breakdown import Breakdown, break_down, photo_scores
from pnpovss.evaluation.report.failures import FAILURES
from pnpovss.evaluation.report.markdown import markdown
from pnpovss.evaluation.report.pictures import Trio, swatch, trio
from pnpovss.evaluation.report.tables import (
    FAILURE_COLUMNS,
    NOTES,
    PAIR_COLUMNS,
    RUN_COLUMNS,
    class_rows,
    failure_rows,
    objects_line,
    pair_rows,
    percent,
    protocol_line,
    published_line,
    run_names,
    run_rows,
    settings_line,
    span,
)
from pnpovss.evaluation.runs.evaluate import run_summary
from pnpovss.evaluation.runs.folder import Run, make_folder, read_run
from pnpovss.evaluation.runs.settings import Data
from pnpovss.files.marks import refuse_others
from pnpovss.files.templates import template
from pnpovss.files.writing import write_all

__all__ = ["page", "write_report"]

_MARK = b"<!-- made by pnpovss report -->\n"
SHOWN = 4  # photos of the best, of the worst, and of each failure


def write_report(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write report.html and report.md about one or more runs of `pnpovss eval`.

    Returns:
        The files written.

    Raises:
        InvalidInputError: no run, an unfinished one, or one of another kind.
        OutputError: the folder cannot be written, or holds files of these names that are no reports.
    """
    runs = [_finished(read_run(folder)) for folder in folders]
    if not runs:
        raise InvalidInputError("no run was given; name one or more folders that `pnpovss eval` wrote")
    html, text = out / "report.html", out / "report.md"
    refuse_others(
        dict.fromkeys((html, text), _MARK), "pnpovss report", "choose another folder with --out, or move it away"
    )
    make_folder(out)
    write_all({html: page(runs).encode() + _MARK, text: markdown(runs).encode() + b"\n" + _MARK})
    return [html, text]


def _finished(run: Run) -> Run:
    if run.settings.kind != "eval":
        raise InvalidInputError(f"{run.folder} is a run of kind {run.settings.kind!r}; its tables lie in the folder")
    if not run.finished:
        done, of = len(run.records), run.settings.subset.images
        raise InvalidInputError(f"{run.folder} is not finished ({done} of {of} photos); start its command again")
    return run


@dataclass(frozen=True)
class Section:
    """What the page says of one run.

    Attributes:
        name: of the run.
        run: the run.
        summary: its scores.
        found: what makes up the score.
        best: photos with the best score of their own.
        worst: those with the worst, worst first.
        failures: photos of each failure, by its title.
    """

    name: str
    run: Run
    summary: dict[str, Any]
    found: Breakdown
    best: tuple[Trio, ...]
    worst: tuple[Trio, ...]
    failures: tuple[tuple[str, tuple[Trio, ...]], ...]

    @property
    def protocol(self) -> str:
        """What was measured, in a line."""
        return protocol_line(self.run.settings)

    @property
    def settings_line(self) -> str:
        """What was run, with what and how fast, in a line."""
        return settings_line(self.run)

    @property
    def published(self) -> str:
        """The value that was published under the same protocol, and whose it is."""
        return published_line(self.run.settings)

    @property
    def objects(self) -> str:
        """How many objects the failures are counted of."""
        return objects_line(self.found)

    @property
    def failure_rows(self) -> list[list[str]]:
        """See `tables.failure_rows`."""
        return failure_rows(self.found)

    @property
    def pair_rows(self) -> list[list[str]]:
        """See `tables.pair_rows`."""
        return pair_rows(self.found, self.run.settings.classes)

    @property
    def settings(self) -> str:
        """Every setting, as JSON."""
        return json.dumps(self.run.settings.model_dump(mode="json", exclude={"classes"}), indent=1)

    @property
    def sessions(self) -> str:
        """Every session, as JSON."""
        return json.dumps([session.model_dump() for session in self.run.sessions], indent=1)


def page(runs: Sequence[Run]) -> str:
    """The page."""
    names, rows = run_names(runs), class_rows(runs)
    if len(runs) == 1:
        rows = sorted(rows, key=lambda row: -(row[1][0] if row[1][0] is not None else -1))
    return _template().render(
        names=names,
        notes=NOTES,
        run_columns=RUN_COLUMNS,
        run_rows=run_rows(runs),
        unlike=_unlike(runs),
        class_rows=rows,
        class_cells=[[name, *map(percent, values)] for name, values in rows],
        failure_columns=FAILURE_COLUMNS,
        pair_columns=PAIR_COLUMNS,
        sections=[_section(name, run) for name, run in zip(names, runs, strict=True)],
    )


def _template() -> Any:
    return template("pnpovss.evaluation.report", "report.html.j2", percent=percent, span=span, swatch=swatch)


def _unlike(runs: Sequence[Run]) -> list[str]:
    """In what the runs were not measured alike: to be known before they are compared."""
    sides = {
        "data sets": {run.settings.dataset for run in runs},
        "photos or masks": {
            (run.settings.subset.digest, run.settings.data.photos, run.settings.data.masks) for run in runs
        },
        "mask values": {_meanings(run.settings.data) for run in runs},
        "ways to lay masks on turned photos (--exif)": {run.settings.exif for run in runs},
        "protocols": {run.settings.protocol for run in runs},
        "sources of names": {run.settings.presence for run in runs},
    }
    return [what for what, found in sides.items() if len(found) > 1]


def _meanings(data: Data) -> tuple[object, ...]:
    """What each mask value means, in whatever order the names come; synonyms are another matter."""
    classes = frozenset((words[0], value) for words, value in zip(data.names, data.ids, strict=True))
    return classes, data.background_id, data.ignored, data.merged


def _section(name: str, run: Run) -> Section:
    best = photo_scores(run)
    keys, found = list(best), break_down(run)

    def shown(chosen: Sequence[str]) -> tuple[Trio, ...]:
        return tuple(trio(run, key, f"mIoU {percent(best[key])}") for key in chosen)

    return Section(
        name, run, run_summary(run), found, shown(keys[:SHOWN]), shown(keys[::-1][:SHOWN]), _failures(run, found)
    )


def _failures(run: Run, found: Breakdown) -> tuple[tuple[str, tuple[Trio, ...]], ...]:
    """The worst photos of each failure."""
    classes, sections = run.settings.classes, []
    for mark, findings in found.failures.items():
        worst = {finding.key: finding for finding in reversed(findings)}  # each photo once, its worst object
        shown = []
        for finding in list(worst.values())[::-1][:SHOWN]:
            other = "" if finding.other is None else f", {percent(finding.share)}% called {classes[finding.other]}"
            shown.append(trio(run, finding.key, f"{classes[finding.label]}: IoU {percent(finding.iou)}{other}"))
        if shown:
            sections.append((f"{mark}: {FAILURES[mark]}", tuple(shown)))
    return tuple(sections)
