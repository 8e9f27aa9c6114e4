"""`pnpovss ablate`: what each step of the method brings."""

from typing import Annotated

import typer

from pnpovss.cli import options
from pnpovss.cli.listed import listed
from pnpovss.cli.measuring import Measured, described, progress_bar
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say
from pnpovss.evaluation.runs.ablation import POSSIBLE, ablated_steps, ablation_markdown, ablation_variants

__all__ = ["ablate"]


@options.grouped
def ablate(
    measured: Measured,
    steps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP,...",
            help=f"Which steps: {', '.join(POSSIBLE)}. Default: gradcam,dropout,blur,crf, and views where they are on.",
        ),
    ] = None,
    combinations: Annotated[bool, typer.Option("--combinations", help="All combinations of the steps.")] = False,
) -> None:
    """Leave out each step of the method in turn, on the same photos, with 95% intervals.

    Variants share encodings, saliency maps and filters where that is exact. Writes ablation.md into the folder.
    """
    _, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=measured.debug), logged_to(notes):
        data, segmenter, names = measured.load(notes)
        from pnpovss.evaluation.runs.variants import run_variants
        from pnpovss.files.writing import write_all

        out = measured.out
        chosen = listed(steps) or ablated_steps(segmenter.config)
        variants = ablation_variants(segmenter.config, chosen, combinations=combinations)
        with progress_bar(notes) as shown:
            summary = run_variants("ablation", segmenter, data, names, variants, out, **measured.draw(shown))
        table = ablation_markdown(summary)
        write_all({out / "ablation.md": f"{described(out)}\n\n{table}".encode()})
        typer.echo(table, nl=False)
        say(notes, f"{described(out)}\n{out / 'ablation.md'}")
