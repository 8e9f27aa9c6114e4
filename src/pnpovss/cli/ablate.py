"""`pnpovss ablate`: what each step of the method brings."""

from pathlib import Path
from typing import Annotated

import typer

from pnpovss.cli import eval as shared
from pnpovss.cli.settings import parse_settings, parse_steps
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say
from pnpovss.config import STEPS

__all__ = ["ablate"]


def ablate(
    dataset: shared.DatasetKey,
    root: shared.Root,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; an unfinished one is gone on with.")],
    steps: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP,...", help=f"Which steps: {', '.join(STEPS)}. Default: gradcam,dropout,blur,crf."),
    ] = None,
    combinations: Annotated[bool, typer.Option("--combinations", help="All combinations of the steps.")] = False,
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
    """Leave out each step of the method in turn, on the same photos, with 95% intervals.

    Arms share encodings, saliency maps and filters where that is exact. Writes ablation.md into the folder.
    """
    _, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
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
            without=(),
        )
        from pnpovss.evaluation.runs.ablation import ABLATED, ablation_arms, ablation_markdown
        from pnpovss.evaluation.runs.variants import run_arms
        from pnpovss.files.writing import write_all

        chosen = parse_steps(steps or []) or list(ABLATED)
        arms = ablation_arms(segmenter.config, chosen, combinations=combinations)
        with shared.progress_bar(notes) as shown:
            summary = run_arms("ablation", segmenter, data, names, arms, out, limit=limit, seed=seed, on_image=shown)
        table = ablation_markdown(summary)
        write_all({out / "ablation.md": f"{shared.described(out)}\n\n{table}".encode()})
        typer.echo(table, nl=False)
        say(notes, f"{shared.described(out)}\n{out / 'ablation.md'}")
