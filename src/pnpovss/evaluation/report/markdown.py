"""Runs side by side as Markdown, ready for a paper; what comes from outside is text there, never HTML or markup."""

import re
from collections.abc import Sequence

from pnpovss.evaluation.report.breakdown import Breakdown, break_down
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
    run_names,
    run_rows,
    settings_line,
    span,
)
from pnpovss.evaluation.runs.folder import Run
from pnpovss.printable import printable

__all__ = ["code_span", "escape", "markdown"]

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(runs: Sequence[Run], title: str = "Evaluation", command: str | None = None) -> str:
    """The whole report as Markdown.

    Args:
        runs: finished ones.
        title: the heading.
        command: how all of it is made again; None for each run's own command.
    """
    names = run_names(runs)
    classes = [[name, *map(percent, values)] for name, values in class_rows(runs)]
    parts = [f"# {escape(title)}\n"]
    if command is not None:
        parts.append(f"Command: {code_span(command)}\n")
    parts += [_table(RUN_COLUMNS, run_rows(runs)), "\nIoU by class [%]\n", _table(("class", *names), classes)]
    for name, run in zip(names, runs, strict=True):
        parts.append(f"\n## {escape(name)}\n\n{escape(settings_line(run))}\n")
        if command is None and run.sessions:
            parts.append(f"Command: {code_span(run.sessions[-1].command)}\n")
        parts.append(_broken_down(break_down(run), run.settings.classes))
    return "\n".join(parts)


def _broken_down(found: Breakdown, classes: Sequence[str]) -> str:
    parts = [
        f"Boundary IoU {percent(found.boundary_iou)}, mIoU near edges of the truth {percent(found.trimap_miou)}, "
        f"elsewhere {percent(found.interior_miou)}.\n",
        f"{NOTES['groups']}\n",
    ]
    for title, groups in found.groups.items():
        rows = [[group.name, str(group.count), percent(group.score.value), span(group.score)] for group in groups]
        score, unit = ("mean IoU of the objects", "objects") if title == "object size" else ("mIoU", "photos")
        parts.append(_table((title, unit, score, "95% interval"), rows))
    parts += [f"{objects_line(found)}\n", _table(FAILURE_COLUMNS, failure_rows(found))]
    if pairs := pair_rows(found, classes):
        parts += [f"Most confused. {NOTES['pairs']}\n", _table(PAIR_COLUMNS, pairs)]
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]]) + "\n"


def escape(text: str) -> str:
    r"""A text as Markdown shows it, letter by letter.

    >>> escape("<b>|[x](y)")
    '&lt;b&gt;\\|\\[x\\](y)'
    """
    quoted = re.sub(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^#)", r"\\\1", printable(text))
    return re.sub("[&<>]", lambda match: _ENTITIES[match[0]], quoted)


def code_span(text: str) -> str:
    """A text as code, between more backticks than it has in a row."""
    text = printable(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, room = "`" * (longest + 1), " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"
