"""`pnpovss compare`: the same photos and names under several models, on one sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pnpovss.batch.model import ModelChoice
from pnpovss.cli import options
from pnpovss.cli.terminal import FAILED, consoles, logged_to, readable_errors, say
from pnpovss.errors import InvalidInputError, OutputError

if TYPE_CHECKING:
    from pnpovss.batch.comparison import Row
    from pnpovss.names import Name

__all__ = ["compare"]

MOST = 40  # photos; nobody reads a sheet of more


def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... PHOTO...",
            help="Models (names, hub ids, folders with a config.json), and photos, folders of photos, or patterns.",
        ),
    ],
    out: Annotated[
        list[Path], typer.Option("--out", metavar="FILE", help="The sheet: a .png, a .html page, or one of each.")
    ],
    names: options.Names = None,
    names_file: options.NamesFile = None,
    preset: options.Preset = "default",
    without: options.Without = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    local_files_only: options.LocalFilesOnly = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sheet of this program.")] = False,
    debug: options.Debug = False,
) -> None:
    """Look at the same photos for the same names with several models, one in memory at a time.

    Shows, side by side, each model's regions, its heat map of each name, and how likely it holds the name to be there.
    What fails under one model stands on the sheet in its place. Exit code 1: something failed; 2: nothing was done.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from pnpovss.batch.sheet import check_target, sheet
        from pnpovss.cli.listed import listed
        from pnpovss.cli.names import gather_names
        from pnpovss.cli.settings import parse_settings
        from pnpovss.files.writing import write_all

        asked = gather_names(names, names_file)
        replaced, off = parse_settings(set_ or []), tuple(listed(without))
        for path in out:
            check_target(path, overwrite=overwrite)
        models, photos = _sorted(what, out, notes)
        choices = [
            ModelChoice(model, device, dtype, preset, replaced, off, local_files_only=local_files_only)
            for model in models
        ]
        rows = _looked(choices, photos, asked, notes)
        failures = [f"{row.model}: {line}" for row in rows for line in row.failures]
        if all(isinstance(look, str) for row in rows for look in row.looks):
            raise InvalidInputError("; ".join(failures))
        write_all({path: sheet(path, photos, asked, rows) for path in out})
        for line in failures:
            say(notes, line, "red")
        for path in out:
            say(results, f"{path}: {len(models):,} models, {len(photos):,} photos")
        if failures:
            raise typer.Exit(FAILED)


def _sorted(what: Sequence[str], out: Sequence[Path], notes: Console) -> tuple[list[str], list[Path]]:
    """The models and the photos that are meant; a sheet that will be replaced is none of those in a folder.

    Raises:
        OutputError: a photo is where a sheet is to be written.
        InvalidInputError: there are none of either, too many photos, or a pattern that matches none.
    """
    from pnpovss.backbones.registry import known_backbones
    from pnpovss.batch.comparison import models_and_photos
    from pnpovss.batch.photos import find
    from pnpovss.files.marks import same

    known = [model for spec in known_backbones().values() for model in spec.models]
    models, given = models_and_photos(what, known)
    found = find(given, out=out[0])
    for text in found.notes:
        say(notes, text, "dim")
    photos: list[Path] = []
    for photo in found.photos:
        path = Path(photo.path)
        if not any(same(path, sheet) for sheet in out):
            photos.append(path)
        elif photo.named:
            raise OutputError(f"{path} is one of the photos; choose another --out")
    if found.problems:
        raise InvalidInputError("; ".join(found.problems))
    if not models or not photos:
        raise InvalidInputError(
            f"found {len(models)} models and {len(photos)} photos among {', '.join(what)}; give at least one of each, "
            "such as: pnpovss compare mini openai/clip-vit-base-patch16 cat.jpg"
        )
    if len(photos) > MOST:
        raise InvalidInputError(f"{len(photos):,} photos are too many for a sheet; give at most {MOST}")
    return models, photos


def _looked(
    choices: Sequence[ModelChoice], photos: Sequence[Path], asked: "tuple[Name, ...]", notes: Console
) -> "list[Row]":
    from pnpovss.batch.comparison import compare as looked

    with notes.status("Loading") as status:
        return looked(choices, photos, asked, lambda model, photo: status.update(f"{model}: {photo}"))
