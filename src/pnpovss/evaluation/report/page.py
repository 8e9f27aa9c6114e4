"""Runs side by side as one HTML page that needs nothing else: tables, bars, what explains the score, photos."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.measures.previews import decode_classes, decode_photo
from pnpovss.evaluation.report.bars import bars, intervals, legend, photo_url, region_url, swatch
from pnpovss.evaluation.report.breakdown import Breakdown, break_down, photo_scores
from pnpovss.evaluation.report.failures import FAILURES
from pnpovss.evaluation.report.markdown import (
    RUN_COLUMNS,
    class_rows,
    markdown,
    percent,
    protocol_line,
    run_names,
    run_rows,
    settings_line,
)
from pnpovss.evaluation.report.published import published_miou
from pnpovss.evaluation.report.style import STYLE
from pnpovss.evaluation.runs.evaluate import run_summary
from pnpovss.evaluation.runs.folder import Run, read_run
from pnpovss.files.writing import write_all

__all__ = ["page", "write_report"]

SHOWN = 4  # photos of the best, of the worst, and of each failure


def write_report(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write report.html and report.md about one or more runs of `pnpovss eval`.

    Returns:
        The files written.

    Raises:
        InvalidInputError: no run, an unfinished one, or one of another kind.
        OutputError: the folder cannot be written.
    """
    runs = [_finished(read_run(folder)) for folder in folders]
    if not runs:
        raise InvalidInputError("no run was given; name one or more folders that `pnpovss eval` wrote")
    out.mkdir(parents=True, exist_ok=True)
    files = {out / "report.html": page(runs).encode(), out / "report.md": markdown(runs).encode()}
    write_all(files)
    return list(files)


def _finished(run: Run) -> Run:
    if run.settings.kind != "eval":
        raise InvalidInputError(f"{run.folder} is a run of kind {run.settings.kind!r}; its tables lie in the folder")
    if not run.finished:
        done, of = len(run.records), run.settings.subset.images
        raise InvalidInputError(f"{run.folder} is not finished ({done} of {of} photos); start its command again")
    return run


def page(runs: Sequence[Run]) -> str:
    """The page."""
    names = run_names(runs)
    rows = class_rows(runs)
    if len(runs) == 1:
        rows = sorted(rows, key=lambda row: -(row[1][0] if row[1][0] is not None else -1))
    series = {name: [values[i] for _, values in rows] for i, name in enumerate(names)}
    measured = {
        name: f"mIoU {_score(run, 'miou')}: {protocol_line(run.settings)}"
        for name, run in zip(names, runs, strict=True)
    }
    links = "".join(f"<a href='#run-{i}'>{escape(name)}</a>" for i, name in enumerate(names))
    body = [
        "<header><h1>Evaluation</h1>",
        f"<nav aria-label='On this page'><a href='#classes'>IoU by class</a>{links}</nav>",
        "<p class='note'>IoU from one confusion matrix over all photos of a run; classes that neither truth nor "
        "prediction holds are left out of the mean, and out of mIoU (truth) all that the truth does not hold. A "
        "published value is shown only under the same protocol.</p></header><main>",
        _table(RUN_COLUMNS, run_rows(runs), label="Runs", kind="runs"),
        f"<p class='note'>{_unlike(runs)}</p>",
        "<section id='classes'><h2>IoU by class [%]</h2>",
        legend(measured),
        bars([name for name, _ in rows], series),
        "<details><summary>As a table</summary>",
        _table(("class", *names), [[name, *map(percent, values)] for name, values in rows], (0,), "IoU by class"),
        "</details></section>",
    ]
    body += [
        f"<section id='run-{i}'>{_section(name, run)}</section>"
        for i, (name, run) in enumerate(zip(names, runs, strict=True))
    ]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width, initial-scale=1'><title>Evaluation: {escape(', '.join(names))}</title>"
        f"<style>{STYLE}</style></head><body>{''.join(body)}</main></body></html>\n"
    )


def _unlike(runs: Sequence[Run]) -> str:
    """What a reader must know before comparing the runs; empty where they were measured alike."""
    sides = {
        "data sets": {run.settings.dataset for run in runs},
        "photos": {run.settings.subset.digest for run in runs},
        "protocols": {run.settings.protocol for run in runs},
        "sources of names": {run.settings.presence for run in runs},
    }
    unlike = [what for what, found in sides.items() if len(found) > 1]
    return f"<b>Not measured alike:</b> these runs have different {', '.join(unlike)}." if unlike else ""


def _score(run: Run, key: str) -> str:
    return percent(run_summary(run)[key])


def _section(name: str, run: Run) -> str:
    """All about one run."""
    found = break_down(run)
    best = photo_scores(run)
    keys = list(best)
    published = published_miou(run.settings)
    beside = f"{published[0]:.1f} ({published[1]})" if published else "none under this protocol"
    parts = [
        f"<h2>{escape(name)}</h2><p class='headline'><b>mIoU {_score(run, 'miou')}</b>, pixel accuracy "
        f"{_score(run, 'pixel_accuracy')}, frequency-weighted IoU {_score(run, 'frequency_weighted_iou')}; "
        f"published: {escape(beside)}</p><p class='note'>{escape(settings_line(run))}</p>",
        _groups(found),
    ]
    for title, chosen in (("Best photos", keys[:SHOWN]), ("Worst photos", keys[::-1][:SHOWN])):
        figures = "".join(_figure(run, key, f"mIoU {percent(best[key])}") for key in chosen)
        parts.append(f"<h3>{title}</h3><p class='note'>By the mIoU of each photo alone.</p>"
                     f"<div class='photos'>{figures}</div>")  # fmt: skip
    parts.append(_failures(found, run))
    settings = json.dumps(run.settings.model_dump(mode="json", exclude={"classes"}), indent=1)
    sessions = json.dumps([session.model_dump() for session in run.sessions], indent=1)
    parts.append(
        "<details><summary>Settings, versions and commands</summary>"
        f"<pre tabindex='0'>{escape(settings)}</pre><pre tabindex='0'>{escape(sessions)}</pre></details>"
    )
    return "".join(parts)


def _groups(found: Breakdown) -> str:
    parts = [
        "<h3>Where the score comes from</h3><p class='note'>With 95% intervals over photos. By object size: the mean "
        "IoU of single objects (a class in a photo); else the mIoU of the photos of each kind. Boundary IoU "
        f"{percent(found.boundary_iou)}; mIoU within 2% of the diagonal of an edge of the truth "
        f"{percent(found.trimap_miou)}, elsewhere {percent(found.interior_miou)}.</p>"
    ]
    for title, groups in found.groups.items():
        unit = "objects" if title == "object size" else "photos"
        rows = [
            (f"{group.name} ({group.count} {unit if group.count != 1 else unit[:-1]})", group.score) for group in groups
        ]
        parts.append(f"<h4>By {escape(title)}</h4>{intervals(rows)}")
    return "".join(parts)


def _failures(found: Breakdown, run: Run) -> str:
    classes = run.settings.classes
    rows = [
        [mark, text, str(len(found.failures[mark])), percent(len(found.failures[mark]) / max(found.objects, 1))]
        for mark, text in FAILURES.items()
    ]
    parts = [
        f"<h3>Failures</h3><p class='note'>Of {found.objects} objects (a class in a photo).</p>",
        _table(("failure", "what it means", "objects", "% of objects"), rows, (0, 1), "Failures"),
    ]
    if found.pairs:
        pairs = [[classes[p.label], classes[p.other], percent(p.share), str(p.photos)] for p in found.pairs[:12]]
        parts.append("<h4>Most confused</h4>")
        parts.append(_table(("true class", "was called", "% of its pixels", "photos"), pairs, (0, 1), "Confusion"))
    for mark, findings in found.failures.items():
        if not findings:
            continue
        chosen = {finding.key: finding for finding in reversed(findings)}  # each photo once, its worst object
        figures = []
        for finding in list(chosen.values())[::-1][:SHOWN]:
            other = f", {percent(finding.share)}% called {classes[finding.other]}" if finding.other is not None else ""
            figures.append(_figure(run, finding.key, f"{classes[finding.label]}: IoU {percent(finding.iou)}{other}"))
        parts.append(f"<h4>{escape(mark)}: {FAILURES[mark]}</h4><div class='photos'>{''.join(figures)}</div>")
    return "".join(parts)


def _figure(run: Run, key: str, caption: str) -> str:
    """Photo, truth and prediction of one record."""
    record, settings = run.records[key], run.settings
    truth, predicted = decode_classes(record["truth"]), decode_classes(record["predicted"])
    shown = sorted({int(label) for label in (*set(truth.flat), *set(predicted.flat))} - {-1, settings.background_class})
    photo = decode_photo(record["photo"])
    there = f"<img src='{photo_url(photo)}' alt='photo {escape(key)}'>"
    pictures = f"<div>{there}<small>photo</small></div>" + "".join(
        f"<div><img src='{region_url(classes, shown, settings.background_class, photo)}' "
        f"alt='{what} of {escape(key)}: {escape(_named(classes, shown, settings.classes))}'><small>{what}</small></div>"
        for what, classes in (("truth", truth), ("prediction", predicted))
    )
    names = "".join(
        f"<span><i style='background:{swatch(i)}'></i>{escape(settings.classes[label])}</span>"
        for i, label in enumerate(shown)
    )
    return (
        f"<figure><div class='trio'>{pictures}</div><figcaption><b>{escape(key)}</b> {escape(caption)} "
        f"<span class='key'>{names}</span></figcaption></figure>"
    )


def _named(found: Integer[np.ndarray, "h w"], shown: Sequence[int], classes: Sequence[str]) -> str:
    """What a picture of classes shows, for those who do not see it."""
    return ", ".join(classes[label] for label in shown if (found == label).any()) or "nothing"


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    text: Sequence[int] = (0, 1, 2, 3, 4, 5, 6),
    label: str = "",
    kind: str = "",
) -> str:
    """A table that scrolls in itself where it is too wide.

    Args:
        header: of the columns.
        rows: cells.
        text: columns of words; the others are numbers.
        label: what the table holds, for those who do not see it.
        kind: class of the table, for its style.
    """
    classes = ["class='text'" if i in text else "" for i in range(len(header))]
    head = "".join(f"<th scope='col' {c}>{escape(cell)}</th>" for c, cell in zip(classes, header, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td {c} data-label='{escape(title)}'>{escape(cell)}</td>"
            for c, title, cell in zip(classes, header, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f"<div class='scroll' role='region' tabindex='0' aria-label='{escape(label)}'><table class='{kind}'>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
