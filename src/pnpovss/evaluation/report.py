"""Runs side by side as one HTML page that needs nothing else: tables, bars, what explains the score, photos."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.charts import bars, intervals, legend, photo_url, region_url, swatch
from pnpovss.evaluation.explain import Explanation, explain, photo_scores
from pnpovss.evaluation.previews import decode_classes
from pnpovss.evaluation.rundir import Run, read_run
from pnpovss.evaluation.signatures import SIGNATURES
from pnpovss.evaluation.tables import RUN_COLUMNS, class_rows, markdown, percent, run_names, run_rows, settings_line
from pnpovss.writing import write_all

__all__ = ["page", "write_report"]

SHOWN = 4  # photos of the best, of the worst, and of each failure

STYLE = """
:root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;color:#1d1d1f;background:#fff;margin:0 auto;
max-width:1180px;padding:24px}h1{font-size:26px}h2{margin-top:44px;border-top:1px solid #ddd;padding-top:20px}
h3{margin:28px 0 8px}.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;margin:8px 0}
th,td{padding:4px 10px;border-bottom:1px solid #e4e4e7;text-align:right;white-space:nowrap}th{background:#f5f5f7}
th:first-child,td:first-child,td.text,th.text{text-align:left}caption{text-align:left;color:#555;padding:4px 0}
svg{max-width:100%;height:auto;font-size:12px;display:block}svg.bars{width:760px}svg.spread{width:700px}
.grid{stroke:#e4e4e7}.tick{fill:#555;font-size:11px}.note{color:#555;font-size:13px}
.legend span{margin-right:18px}.legend i,.key i{display:inline-block;width:11px;height:11px;margin-right:5px;
border-radius:2px}.photos{display:flex;flex-wrap:wrap;gap:18px}figure{margin:0;width:540px}
.trio{display:flex;gap:6px}.trio img{flex:1 1 0;min-width:0;object-fit:contain;object-position:top left;
max-height:240px;border-radius:3px}
figcaption{font-size:13px}.key span{margin-right:12px}details{margin:10px 0}pre{background:#f5f5f7;padding:12px;
overflow-x:auto;font-size:12px}
"""


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
    if run.summary is None or not run.finished:
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
    body = [
        "<h1>Evaluation</h1>",
        "<p class='note'>IoU from one confusion matrix over all photos of a run; classes that neither truth nor "
        "prediction holds are left out of the mean. A published value is shown only under the same protocol.</p>",
        _table(RUN_COLUMNS, run_rows(runs)),
        "<h2>IoU by class [%]</h2>",
        legend(names) if len(runs) > 1 else "",
        bars([name for name, _ in rows], series),
        "<details><summary>As a table</summary>",
        _table(("class", *names), [[name, *map(percent, values)] for name, values in rows]),
        "</details>",
    ]
    body += [_section(name, run) for name, run in zip(names, runs, strict=True)]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width'><title>Evaluation: {escape(', '.join(names))}</title>"
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _section(name: str, run: Run) -> str:
    """All about one run."""
    found = explain(run)
    best = photo_scores(run)
    keys = list(best)
    shown = [("Best photos", keys[:SHOWN]), ("Worst photos", keys[::-1][:SHOWN])]
    parts = [
        f"<h2>{escape(name)}</h2><p class='note'>{escape(settings_line(run))}</p>",
        _groups(found),
        _failures(found, run),
    ]
    for title, chosen in shown:
        figures = "".join(_figure(run, key, f"mIoU {percent(best[key])}") for key in chosen)
        parts.append(f"<h3>{title}</h3><p class='note'>By the mIoU of each photo alone: photo, truth, prediction.</p>"
                     f"<div class='photos'>{figures}</div>")  # fmt: skip
    settings = json.dumps(run.settings.model_dump(mode="json", exclude={"classes"}), indent=1)
    sittings = json.dumps(list(run.sittings), indent=1)
    parts.append(
        "<details><summary>Settings, versions and commands</summary>"
        f"<pre>{escape(settings)}</pre><pre>{escape(sittings)}</pre></details>"
    )
    return "".join(parts)


def _groups(found: Explanation) -> str:
    parts = [
        "<h3>Where the score comes from</h3><p class='note'>With 95% intervals over photos. By object size: the mean "
        "IoU of single objects (a class in a photo); else the mIoU of the photos of each kind. Boundary IoU "
        f"{percent(found.boundary_iou)}; mIoU within 2% of the diagonal of an edge of the truth "
        f"{percent(found.trimap_miou)}, elsewhere {percent(found.interior_miou)}.</p>"
    ]
    for title, groups in found.groups.items():
        unit = "objects" if title == "object size" else "photos"
        rows = [(f"{group.name} ({group.count} {unit})", group.score) for group in groups]
        parts.append(f"<h4>By {escape(title)}</h4>{intervals(rows)}")
    return "".join(parts)


def _failures(found: Explanation, run: Run) -> str:
    classes = run.settings.classes
    rows = [
        [mark, text, str(len(found.failures[mark])), percent(len(found.failures[mark]) / max(found.objects, 1))]
        for mark, text in SIGNATURES.items()
    ]
    parts = [
        f"<h3>Failures</h3><p class='note'>Of {found.objects} objects (a class in a photo).</p>",
        _table(("failure", "what it means", "objects", "% of objects"), rows, text=(0, 1)),
    ]
    if found.pairs:
        pairs = [[classes[p.label], classes[p.other], percent(p.share), str(p.photos)] for p in found.pairs[:12]]
        parts.append(_table(("true class", "was called", "% of its pixels", "photos"), pairs, text=(0, 1)))
    for mark, findings in found.failures.items():
        if not findings:
            continue
        chosen = {finding.key: finding for finding in reversed(findings)}  # each photo once, its worst object
        figures = []
        for finding in list(chosen.values())[::-1][:SHOWN]:
            other = f", {percent(finding.share)}% called {classes[finding.other]}" if finding.other is not None else ""
            figures.append(_figure(run, finding.key, f"{classes[finding.label]}: IoU {percent(finding.iou)}{other}"))
        parts.append(f"<h4>{escape(mark)}</h4><div class='photos'>{''.join(figures)}</div>")
    return "".join(parts)


def _figure(run: Run, key: str, caption: str) -> str:
    """Photo, truth and prediction of one record."""
    record, settings = run.records[key], run.settings
    truth, predicted = decode_classes(record["truth"]), decode_classes(record["predicted"])
    shown = sorted({int(label) for label in (*set(truth.flat), *set(predicted.flat))} - {-1, settings.background_class})
    path = run.root / record["image"]
    url = photo_url(path)
    photo = path if url is not None else None
    there = f"<img src='{url}' alt='photo {escape(key)}'>" if url else "<em>the photo is no longer there</em> "
    pictures = "".join(
        f"<img src='{region_url(classes, shown, settings.background_class, photo)}' alt='{what} of {escape(key)}'>"
        for what, classes in (("truth", truth), ("prediction", predicted))
    )
    names = "".join(
        f"<span><i style='background:{swatch(i)}'></i>{escape(settings.classes[label])}</span>"
        for i, label in enumerate(shown)
    )
    return (
        f"<figure><div class='trio'>{there}{pictures}</div><figcaption><b>{escape(key)}</b> {escape(caption)} "
        f"<span class='key'>{names}</span></figcaption></figure>"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = (0, 1, 2, 3, 4, 5, 6)) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        kinds = ("class='text'" if i in text and len(row) != 2 else "" for i in range(len(row)))
        return "".join(f"<{tag} {kind}>{escape(c)}</{tag}>" for c, kind in zip(row, kinds, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{cells(header, 'th')}</tr>{body}</table></div>"
