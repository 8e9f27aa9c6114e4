"""`pnpovss sweep`: how the score depends on layer and head, Salience Dropout, threshold, image size."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pnpovss.cli import eval as shared
from pnpovss.cli.settings import parse_settings, parse_steps
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say
from pnpovss.config import STEPS
from pnpovss.errors import ConfigError

__all__ = ["sweep"]

COLUMN = {"dropout": "passes", "threshold": "threshold", "size": "image_size"}  # along each axis


def sweep(
    over: Annotated[
        Literal["heads", "dropout", "threshold", "size"],
        typer.Argument(metavar="AXIS", help="heads (all layers and heads), dropout, threshold or size."),
    ],
    dataset: shared.DatasetKey,
    root: shared.Root,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; an unfinished one is gone on with.")],
    values: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Thresholds, passes or sides in px, instead of the usual.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="STEP,...", help=f"Steps to leave out: {', '.join(STEPS)}.")
    ] = None,
    model: shared.Model = "mini",
    preset: shared.Preset = "default",
    presence: shared.Presence = "oracle",
    llm: shared.Llm = None,
    protocol: shared.ProtocolOption = "field",
    limit: shared.Limit = None,
    seed: shared.Seed = 0,
    set_: shared.Set = None,
    device: shared.Device = "auto",
    dtype: shared.Dtype = "float32",
    debug: shared.Debug = False,
) -> None:
    """Sweep a setting over a benchmark. For analysis: never choose a preset on the photos you report on.

    Writes sweep.csv and, with matplotlib, sweep.png into the folder. heads: one pass, no Salience Dropout, no CRF.
    """
    _, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        numbers = _numbers(values)
        if numbers and over == "heads":
            raise ConfigError("a sweep over heads takes all of them, and no --values; leave it out")
        data, segmenter, names = shared.load_all(
            notes,
            dataset,
            root,
            protocol,
            presence,
            llm,
            model=model,
            device=device,
            dtype=dtype,
            preset=preset,
            settings=parse_settings(set_ or []),
            without=parse_steps(without or []),
        )
        from pnpovss.evaluation.report.plots import plot_arms, plot_heads, require_matplotlib
        from pnpovss.evaluation.runs.folder import read_run
        from pnpovss.evaluation.runs.sweeps import arms_table, run_heads, sweep_arms, table_csv
        from pnpovss.evaluation.runs.variants import run_arms
        from pnpovss.files.writing import write_all

        require_matplotlib()  # before the work
        picture = out / "sweep.png"
        with shared.progress_bar(notes) as shown:
            options: dict[str, Any] = {"limit": limit, "seed": seed, "on_image": shown}
            if over == "heads":
                run_heads(segmenter, data, names, out, **options)
            else:
                arms = sweep_arms(over, segmenter.config, segmenter.backbone, numbers)
                run_arms(f"sweep {over}", segmenter, data, names, arms, out, **options)
        run = read_run(out)
        title = shared.described(out)
        if over == "heads":
            assert run.summary is not None
            rows = run.summary["heads"]
            title += "; one pass, no Salience Dropout, no Dense CRF"
            plot_heads(rows, run.summary["correlations"], title, picture)
        else:
            rows = arms_table(list(run.records.values()), run.settings.arms or {}, len(run.settings.classes))
            plot_arms(rows, COLUMN[over], title, picture)
        write_all({out / "sweep.csv": table_csv(rows).encode()})
        typer.echo(table_csv(rows), nl=False)
        say(notes, f"{shared.described(out)}\n{out / 'sweep.csv'}\n{picture}")


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError as error:
        raise ConfigError(f"--values wants numbers with commas between them, got {text!r}") from error
