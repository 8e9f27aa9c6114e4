"""The words and rows of a report, the same on the page and in Markdown; every number goes with its protocol."""

from collections.abc import Sequence

from pnpovss.errors import InvalidInputError
from pnpovss.evaluation.measures.bootstrap import Interval
from pnpovss.evaluation.report.breakdown import Breakdown
from pnpovss.evaluation.report.failures import CONFUSED, FAILURES, SMALLEST
from pnpovss.evaluation.report.published import published_miou
from pnpovss.evaluation.runs.evaluate import run_summary
from pnpovss.evaluation.runs.folder import Run
from pnpovss.evaluation.runs.settings import RunSettings

__all__ = [
    "FAILURE_COLUMNS",
    "NOTES",
    "PAIR_COLUMNS",
    "RUN_COLUMNS",
    "class_rows",
    "failure_rows",
    "objects_line",
    "pair_rows",
    "percent",
    "protocol_line",
    "published_line",
    "run_names",
    "run_rows",
    "settings_line",
    "short_revision",
    "span",
]

RUN_COLUMNS = (
    "run",
    "data set",
    "photos",
    "protocol",
    "names",
    "model",
    "preset",
    "mIoU",
    "mIoU (truth)",
    "pixel accuracy",
    "fwIoU",
    "names' precision / recall / AP",
    "s / CPU s per photo",
    "published",
)
FAILURE_COLUMNS = ("failure", "what it means", "objects", "% of objects")
PAIR_COLUMNS = ("true class", "was called", "% of its pixels", "photos")
MOST_PAIRS = 12

NOTES = {
    "groups": (
        "With 95% intervals over photos, where there are ten or more. By object size: the mean IoU of single objects "
        "(a class in a photo). Else: the mIoU of the photos of a kind, a mean over the classes that occur in them, "
        "each counted over these photos alone. The mIoU of the run is no average of these: a class that is found badly "
        "in a few photos of a kind weighs as much as any other there, so all kinds may lie below the whole, or above."
    ),
    "pairs": (
        "Sorted by the share of the true class's pixels, over all photos, that was called so. The photos are those in "
        f"which at least {CONFUSED:.0%} of the object was; pairs without any are left out."
    ),
}


def run_names(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its folder's, with parents where two are alike."""
    for depth in range(1, 10):
        names = ["/".join(run.folder.resolve().parts[-depth:]) for run in runs]
        if len(set(names)) == len(names):
            return names
    raise InvalidInputError("a run was given twice; name each folder once")


def run_rows(runs: Sequence[Run]) -> list[list[str]]:
    """One row per run, in the order of `RUN_COLUMNS`."""
    rows = []
    for name, run in zip(run_names(runs), runs, strict=True):
        settings, summary = run.settings, run_summary(run)
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
                " / ".join(percent(summary["presence"][key]) for key in ("precision", "recall", "average_precision")),
                " / ".join(f"{summary[key] / settings.subset.images:.2f}" for key in ("seconds", "cpu_seconds")),
                published_line(settings),
            ]
        )
    return rows


def class_rows(runs: Sequence[Run]) -> list[tuple[str, list[float | None]]]:
    """(class, IoU in each run), for classes that some run has, in the order of the first run."""
    classes = list(dict.fromkeys(name for run in runs for name in run.settings.classes))
    found = [run_summary(run)["classes"] for run in runs]
    rows = [(name, [(own.get(name) or {}).get("iou") for own in found]) for name in classes]
    return [(name, values) for name, values in rows if any(value is not None for value in values)]


def failure_rows(found: Breakdown) -> list[list[str]]:
    """One row per failure, in the order of `FAILURE_COLUMNS`."""
    counts = {mark: len(found.failures[mark]) for mark in FAILURES}
    return [
        [mark, text, str(counts[mark]), percent(counts[mark] / max(found.objects, 1))]
        for mark, text in FAILURES.items()
    ]


def objects_line(found: Breakdown) -> str:
    """What the failures are counted of."""
    smaller = f"; {found.smaller} smaller ones are not judged" if found.smaller else ""
    return (
        f"Of {found.objects} objects (a class in a photo) that cover at least {SMALLEST:.1%} of their photo{smaller}."
    )


def pair_rows(found: Breakdown, classes: Sequence[str]) -> list[list[str]]:
    """The most confused classes, in the order of `PAIR_COLUMNS`."""
    return [
        [classes[pair.label], classes[pair.other], percent(pair.share), str(pair.photos)]
        for pair in found.pairs[:MOST_PAIRS]
    ]


def protocol_line(settings: RunSettings) -> str:
    """What was measured, and how, in a line; every number goes with it."""
    return (
        f"{settings.dataset}, {settings.subset}, {settings.protocol} protocol, names: {settings.presence}, "
        f"{settings.model}, preset {settings.preset}"
    )


def published_line(settings: RunSettings) -> str:
    """The published value of the same protocol, and whose it is."""
    published = published_miou(settings)
    return f"{published[0]:.1f} ({published[1]})" if published else "none under this protocol"


def settings_line(run: Run) -> str:
    """What was run, with what, when and on what machine, for a caption."""
    settings, config = run.settings, run.settings.config
    drawn = f" (drawn with seed {settings.subset.seed})" if settings.subset.limit else ""
    parts = [
        f"{settings.dataset}, {settings.subset}{drawn}, {settings.protocol} protocol, names: {settings.presence}",
        f"model {settings.model} ({short_revision(settings.revision)}), preset {settings.preset}",
        f"{config.heads_in_words}, {config.image_size} px, {settings.dtype}",
    ]
    commits = sorted({(session.commit or "installed package")[:20] for session in run.sessions})
    days = sorted({session.started[:10] for session in run.sessions})
    paces = dict.fromkeys(session.pace for session in run.sessions)
    made = f"pnpovss {settings.version}, commit {', '.join(commits)}; {', '.join(days)}"
    return f"{', '.join(parts)}; {made}; timed on {'; '.join(paces)}"


def short_revision(revision: str | None) -> str:
    """Enough of a revision to tell it by: twelve digits, and of what they are a hash where that is said before them."""
    kind, colon, digits = (revision or "no revision").rpartition(":")
    return f"{kind}{colon}{digits[:12]}"


def span(interval: Interval) -> str:
    """The ends of an interval, in percent."""
    if not interval.is_known:
        return "too few for an interval"
    return f"{percent(interval.low)} to {percent(interval.high)}"


def percent(value: float | None) -> str:
    """One decimal, in percent; "-" where there is none."""
    return "-" if value is None or value != value else f"{100 * value:.1f}"
