"""`pnpovss explain`: pictures of every step of the method on one photo."""

from pathlib import Path
from typing import Annotated

import typer

from pnpovss.batch.model import ModelChoice
from pnpovss.cli import options
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say

__all__ = ["explain"]


def explain(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="One photo.")],
    names: options.Names = None,
    names_file: options.NamesFile = None,
    model: options.Model = "mini",
    preset: options.Preset = "default",
    without: options.Without = None,
    set_: options.Set = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where pictures are written; made if missing.")] = Path("."),
    figure: Annotated[str, typer.Option(metavar="FORMAT", help="Of the figures: png, svg or pdf.")] = "png",
    animation: Annotated[
        str, typer.Option(metavar="FORMAT", help="Of the passes of Salience Dropout: webp, gif or none.")
    ] = "webp",
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    debug: options.Debug = False,
) -> None:
    """Show how the method comes to a result, step by step.

    Writes NAME.steps.FORMAT: attention, GradCAM, the sum of all passes and the threshold per name, and the label map
    after threshold, blur and Dense CRF. Where Salience Dropout is on (it is with --preset paper), also
    NAME.passes.FORMAT, and the same as an animation: what each pass sees, and where it looks. Of the whole photo: tiles
    and mirror images are left out.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from pnpovss.cli.listed import listed
        from pnpovss.cli.names import gather_names
        from pnpovss.cli.settings import parse_settings
        from pnpovss.errors import ConfigError
        from pnpovss.files.writing import write_all
        from pnpovss.results.figures.canvas import figure_bytes, figure_format

        asked, form = gather_names(names, names_file), figure_format(figure)
        if animation not in ("webp", "gif", "none"):
            raise ConfigError(f"an animation is written as webp or gif, or not at all (none); got {animation!r}")
        settings, off = parse_settings(set_ or []), tuple(listed(without))
        choice = ModelChoice(model, device, dtype, preset, settings, off)
        with notes.status(f"Loading {model}"):
            from pnpovss.steps import steps_of

            segmenter = choice.load()
        steps = steps_of(segmenter, photo, asked)
        out.mkdir(parents=True, exist_ok=True)
        files = {out / f"{photo.stem}.steps.{form}": figure_bytes(steps.figure(photo), form)}
        if len(steps.passes) > 1:
            files[out / f"{photo.stem}.passes.{form}"] = figure_bytes(steps.passes_figure(photo), form)
            if animation != "none":
                files[out / f"{photo.stem}.passes.{animation}"] = steps.animation(photo, animation)
        write_all(files)
        for path in files:
            say(results, str(path))
        if len(steps.passes) == 1:
            say(notes, "Salience Dropout is off in these settings: there is one pass; --preset paper has four", "dim")
