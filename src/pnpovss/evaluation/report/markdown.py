"""Runs side by side as Markdown, ready for a paper; every number goes with its protocol."""

from collections.abc import Sequence

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.report.breakdown import Breakdown, break_down
from pnpovss.evaluation.report.failures import FAILURES
from pnpovss.evaluation.report.published import published_miou
from pnpovss.evaluation.runs.evaluate import run_summary
from pnpovss.evaluation.runs.folder import Run
from pnpovss.evaluation.runs.settings import RunSettings

__all__ = ["class_rows", "markdown", "percent", "protocol_line", "run_names", "run_rows", "settings_line"]

RUN_COLUMNS = ("run", "data set", "photos", "protocol", "names", "model", "preset", "mIoU", "mIoU (truth)",
               "pixel accuracy", "fwIoU", "names' precision / recall / AP", "s a photo", "published")  # fmt: skip


def run_names(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its folder's, with parents where two are alike."""
    for depth in range(1, 10):
        names = ["/".join(run.folder.resolve().parts[-depth:]) for run in runs]
        if len(set(names)) == len(names):
            return names
    raise InvalidInputError("a run was given twice; name each folder once")


def run_rows(runs: Sequence[Run]) -> list[list[str]]:
    """One row a run, in the order of `RUN_COLUMNS`."""
    rows = []
    for name, run in zip(run_names(runs), runs, strict=True):
        settings, summary = run.settings, run_summary(run)
        published = published_miou(settings)
        presence = summary.get("presence", {})
        rows.append(
            [
                name,
                settings.dataset,
                str(settings.subset),
                settings.protocol,
                settings.presence,
                settings.model,
                settings.preset,
                percent(summary["miou"]),
                percent(summary["miou_of_truth"]),
                percent(summary["pixel_accuracy"]),
                percent(summary["frequency_weighted_iou"]),
                " / ".join(percent(presence.get(key)) for key in ("precision", "recall", "average_precision")),
                f"{summary['seconds'] / settings.subset.images:.2f}",
                f"{published[0]:.1f} ({published[1]})" if published else "none under this protocol",
            ]
        )
    return rows


def class_rows(runs: Sequence[Run]) -> list[tuple[str, list[float | None]]]:
    """(class, IoU in each run), for classes that some run has, in the order of the first run."""
    classes = list(dict.fromkeys(name for run in runs for name in run.settings.classes))
    summaries = [run_summary(run) for run in runs]
    rows = []
    for name in classes:
        values = [(summary["classes"].get(name) or {}).get("iou") for summary in summaries]
        if any(value is not None for value in values):
            rows.append((name, values))
    return rows


def protocol_line(settings: RunSettings) -> str:
    """What was measured, and how, in a line; every number goes with it."""
    return (
        f"{settings.dataset}, {settings.subset}, {settings.protocol} protocol, names: {settings.presence}, "
        f"{settings.model}, preset {settings.preset}"
    )


def settings_line(run: Run) -> str:
    """What was run, for a caption."""
    settings = run.settings
    config = settings.config
    commits = sorted({session.commit or "installed package" for session in run.sessions})
    return (
        f"{settings.dataset}, {settings.subset}"
        + (f" (drawn with seed {settings.subset.seed})" if settings.subset.limit else "")
        + f", {settings.protocol} protocol, names: {settings.presence}, model {settings.model} "
        f"({(settings.revision or 'no revision')[:12]}), preset {settings.preset}, layer {config.layer}, head "
        f"{config.head}, {config.image_size} px, {settings.dtype}; commit {', '.join(c[:20] for c in commits)}; "
        f"{run.sessions[0].started[:10]}"
    )


def markdown(runs: Sequence[Run], title: str = "Evaluation", command: str | None = None) -> str:
    """The whole report as Markdown.

    Args:
        runs: finished ones.
        title: the heading.
        command: how all of it is made again; None for each run's own command.
    """
    names = run_names(runs)
    parts = [f"# {title}\n", *([f"Command: `{command}`\n"] if command else []), _table(RUN_COLUMNS, run_rows(runs))]
    parts += ["\nIoU by class [%]\n", _table(("class", *names), [[c, *map(percent, v)] for c, v in class_rows(runs)])]
    for name, run in zip(names, runs, strict=True):
        parts.append(f"\n## {name}\n\n{settings_line(run)}\n")
        if command is None:
            parts.append(f"Command: `{run.sessions[-1].command}`\n")
        parts.append(_broken_down(break_down(run), run.settings.classes))
    return "\n".join(parts)


def _broken_down(found: Breakdown, classes: Sequence[str]) -> str:
    parts = [
        f"Boundary IoU {percent(found.boundary_iou)}, mIoU near edges of the truth {percent(found.trimap_miou)}, "
        f"elsewhere {percent(found.interior_miou)}.\n"
    ]
    for title, groups in found.groups.items():
        rows = [
            [g.name, str(g.count), percent(g.score.value), f"{percent(g.score.low)} to {percent(g.score.high)}"]
            for g in groups
        ]
        score = "mean IoU of the objects" if title == "object size" else "mIoU"
        parts.append(_table((title, "objects" if title == "object size" else "photos", score, "95% interval"), rows))
    rows = [
        [mark, text, str(len(found.failures[mark])), percent(len(found.failures[mark]) / max(found.objects, 1))]
        for mark, text in FAILURES.items()
    ]
    parts.append(_table(("failure", "what it means", "objects", "% of objects"), rows))
    if found.pairs:
        pairs = [[classes[p.label], classes[p.other], percent(p.share), str(p.photos)] for p in found.pairs[:12]]
        parts.append(_table(("true class", "was called", "% of its pixels", "photos"), pairs))
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]]) + "\n"


def percent(value: float | None) -> str:
    """One decimal, in percent; "-" where there is none."""
    return "-" if value is None or value != value else f"{100 * value:.1f}"
