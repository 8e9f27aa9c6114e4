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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace pictures of other photos, and other files.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Show how the method comes to a result, step by step.

    Writes NAME.steps.FORMAT: attention, GradCAM, the sum of all passes and the threshold per name, and the label map
    after threshold, blur and Dense CRF. Where Salience Dropout is on (it is with --preset paper), also
    NAME.passes.FORMAT, and the same as an animation: what each pass sees, and where it looks. Of the whole photo: tiles
    and mirror images are left out. All earlier pictures of the photo's steps there are replaced.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from pnpovss.batch.folder import open_folder
        from pnpovss.batch.step_files import StepFiles
        from pnpovss.cli.listed import listed
        from pnpovss.cli.names import gather_names
        from pnpovss.cli.settings import parse_settings
        from pnpovss.errors import ConfigError
        from pnpovss.results.figures.canvas import figure_format

        asked, form = gather_names(names, names_file), figure_format(figure)
        if animation not in ("webp", "gif", "none"):
            raise ConfigError(f"an animation is written as webp or gif, or not at all (none); got {animation!r}")
        settings, off = parse_settings(set_ or []), tuple(listed(without))
        choice = ModelChoice(model, device, dtype, preset, settings, off)
        files = StepFiles(photo, out, form, animation)
        files.check(overwrite=overwrite)
        open_folder(out)
        with notes.status(f"Loading {model}"):
            from pnpovss.steps import steps_of

            segmenter = choice.load()
        steps = steps_of(segmenter, photo, asked)
        for path in files.write(steps):
            say(results, str(path))
        if len(steps.passes) == 1:
            say(notes, "Salience Dropout is off in these settings: there is one pass; --preset paper has four", "dim")
