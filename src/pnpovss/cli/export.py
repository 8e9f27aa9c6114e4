"""`pnpovss export`: the results of a run in the formats of other tools."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pnpovss.cli import options
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say

if TYPE_CHECKING:
    from pnpovss.batch.export.registry import FormatSpec
    from pnpovss.names import Name

__all__ = ["check_exports", "export", "write_exports"]


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The --out folder of `pnpovss segment`, or its URL.")],
    formats: Annotated[
        list[str],
        typer.Option(
            "--format",
            metavar="FORMAT,...",
            help="masks, coco, yolo, voc, cvat, labelme, labelstudio, fiftyone, huggingface; see the docs.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of a folder per format; RUN/export if not given.")
    ] = None,
    photos: Annotated[
        bool, typer.Option("--photos/--no-photos", help="Whether the photos go along, where they may be left out.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace folders that this program did not make.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Write the results of a run, as far as it came, in the formats of other tools; no model is needed.

    Label maps that were corrected by hand are taken as they are now. Photos that RUN/decisions.json drops are left out.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from pnpovss.batch.export.registry import parse_formats
        from pnpovss.cli.listed import listed

        write_exports(run, parse_formats(listed(formats)), out, results, notes, photos=photos, overwrite=overwrite)


def write_exports(
    run: Path | str,
    formats: "Sequence[FormatSpec]",
    out: Path | None,
    results: Console,
    notes: Console,
    *,
    photos: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a run in each of some formats, and say where."""
    from pnpovss.batch.export.run import read_run
    from pnpovss.batch.export.write import check_target
    from pnpovss.batch.export.write import export as write
    from pnpovss.errors import InvalidInputError
    from pnpovss.files.remote import is_url

    if out is None and is_url(run):
        raise InvalidInputError(f"exports go to a local folder, and {run} is none; name one with --out")
    finished = read_run(run)
    folders = {spec: (out or Path(run, "export")) / spec.key for spec in formats}
    for spec, folder in folders.items():  # all of them before any is written
        check_target(spec, folder, list(finished.categories), photos=photos, overwrite=overwrite)
    for spec, folder in folders.items():
        with notes.status(f"Writing {spec.key}"):
            count = sum(1 for _ in write(finished, spec, folder, photos=photos, overwrite=overwrite))
        say(results, f"{folder}: {count:,} photos, {len(finished.categories):,} names")


def check_exports(
    run: Path, formats: "Sequence[FormatSpec]", names: "Iterable[Name]", stems: Callable[[], Iterable[str]]
) -> None:
    """Refuse, before a run, what could not be exported at its end.

    Args:
        run: the folder of the run.
        formats: to be written into it.
        names: that are asked for in any photo.
        stems: gives those of the photos; the names of all other results in the folder are exported, too.
    """
    from pnpovss.batch.export.run import decided_against, names_beside
    from pnpovss.batch.export.write import check_target
    from pnpovss.batch.folder import folder_at
    from pnpovss.errors import InvalidInputError

    decided_against(folder_at(run))  # a broken file of decisions, that is
    texts = list(dict.fromkeys(name.text for name in names))
    for spec in formats:
        instead = f"segment without --format, then: pnpovss export {run} --format {spec.key} --overwrite"
        check_target(spec, run / "export" / spec.key, texts, instead=instead)
    checks = [spec.check for spec in formats if spec.check is not None]
    together = [*texts, *names_beside(run, stems())] if checks else []
    for check in checks:
        try:
            check(list(dict.fromkeys(together)))
        except InvalidInputError as error:
            raise InvalidInputError(
                f"{error}; some names are of earlier results in {run}, which are exported, too: give another --out"
            ) from error
