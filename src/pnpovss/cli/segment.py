"""`pnpovss segment`: photos and names in; label maps, overlays and records out."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from pnpovss.batch.model import ModelChoice
from pnpovss.cli import options
from pnpovss.cli.export import check_exports, write_exports
from pnpovss.cli.terminal import FAILED, consoles, logged_to, readable_errors, say

if TYPE_CHECKING:
    from pnpovss.batch.naming import Photo
    from pnpovss.batch.records import Records
    from pnpovss.names import Name

__all__ = ["segment"]

FEW = 5  # photos up to which each gets a table, unless asked otherwise


def _print_settings(wanted: bool) -> bool:
    if wanted:
        from pnpovss.cli.settings import settings_table

        consoles(machine_readable=False)[0].print(settings_table())
        raise typer.Exit
    return wanted


def segment(
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="PHOTO...", help="Photos, folders of photos, or patterns.")
    ] = None,
    names: options.Names = None,
    names_file: options.NamesFile = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into subfolders; results mirror them.")] = (
        False
    ),
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help='A list of photos: a path per line, or {"photo": PATH, "names": [...]}; - is standard input.',
        ),
    ] = None,
    presence: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER",
            help="Who says which names are in a photo: all (look for every name), itm, itc, itm+itc, "
            "itm+itc+attention, file:PATH, clip:MODEL, llm:MODEL. Default: the model, by the step presence.",
        ),
    ] = None,
    llm: options.Llm = None,
    model: options.Model = "mini",
    preset: options.Preset = "default",
    without: options.Without = None,
    set_: options.Set = None,
    instances: Annotated[
        Literal["pieces", "heat"] | None,
        typer.Option(
            metavar="HOW",
            help="Tell things of one name apart: pieces (connected pieces) or heat (cut between peaks of heat, too).",
        ),
    ] = None,
    settings: Annotated[
        bool, typer.Option("--settings", callback=_print_settings, is_eager=True, help="List the settings and exit.")
    ] = False,
    out: Annotated[str, typer.Option(metavar="DIR", help="Where results are written, a folder or a URL.")] = ".",
    heatmaps: Annotated[bool, typer.Option("--heatmaps", help="Also write a heat map picture per name.")] = False,
    figure: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Also write figures for slides and papers, as png, svg or pdf."),
    ] = None,
    npz: Annotated[bool, typer.Option("--npz", help="Also write NAME.npz: scores, heat maps, everything.")] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT,...", help="Then also write OUT/export/FORMAT, as `pnpovss export`."),
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Also write all records to one file; - is stdout.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of other photos, and what was changed by hand.")
    ] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Segment finished photos again.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try photos again that were found damaged, as they are now.")
    ] = False,
    details: Annotated[
        bool | None, typer.Option("--details/--no-details", help=f"A table per photo. Default: up to {FEW} photos.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes that segment at once; they share the cores.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a Ray cluster: auto, local, HOST:PORT; --workers is its actors."),
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --ray: also write what became of each photo to one file.")
    ] = None,
    device: options.Device = "auto",
    devices: Annotated[
        list[str] | None, typer.Option(metavar="DEVICE,...", help="Instead of --device: workers take these in turn.")
    ] = None,
    dtype: options.Dtype = "float32",
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
    local_files_only: options.LocalFilesOnly = False,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Refuse photos with more pixels; 50 million if not given.")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Segment photos by names.

    Writes NAME.labels.png, NAME.overlay.png and NAME.json for each photo. Photos that are finished, with the same
    content, names and settings, are skipped. Exit code 1: some photos failed; 2: it could not be done as asked.
    """
    results, notes = consoles(machine_readable=json_ == "-")
    with readable_errors(notes, debug=debug), logged_to(notes):
        # Imported here, because --help must not wait for arrays, and nobody's typing error for torch.
        from pnpovss.batch.export.registry import parse_formats
        from pnpovss.batch.filesets import paths_of
        from pnpovss.batch.folder import open_folder
        from pnpovss.batch.outputs import DEFAULT_OUTPUTS
        from pnpovss.batch.photos import find
        from pnpovss.batch.recipe import EVERYTHING, FilterChoice, Recipe
        from pnpovss.batch.records import refuse_target
        from pnpovss.cli.listed import listed
        from pnpovss.cli.names import gather_names
        from pnpovss.cli.presence import parse_llm, tell_presence
        from pnpovss.cli.settings import parse_settings, refuse_instances
        from pnpovss.errors import InvalidInputError
        from pnpovss.files.remote import is_url, on_disk
        from pnpovss.hints.sentences import sentences
        from pnpovss.images import MAX_PIXELS
        from pnpovss.presence.registry import refuse_idle
        from pnpovss.results.figures.canvas import figure_format

        place = out if is_url(out) else Path(out)
        if (ray is not None and devices) or (ray is None and parquet is not None):
            raise InvalidInputError("--devices is for this machine, --parquet for --ray")
        if formats and is_url(out):
            raise InvalidInputError("--format writes to a disk, and --out is a URL; use `pnpovss export` afterwards")
        if json_ is not None and is_url(json_):
            raise InvalidInputError(f"--json writes to a disk, and {json_} is a URL; give a path, or - for stdout")
        exports = parse_formats(listed(formats)) if formats else []
        may_lack = from_ is not None and not names and names_file is None  # entries of a list may bring their own
        asked = () if may_lack else gather_names(names, names_file)
        for line in sentences(asked):
            say(notes, line, "yellow")
        replaced, off = parse_settings(set_ or []), tuple(listed(without))
        if instances is not None:
            refuse_instances(instances, replaced, off)
            replaced = {"instances.split": instances, **replaced}
        if presence is not None:
            refuse_idle(replaced, presence)
            off = (*off, "presence")  # whoever is asked replaces the method's own judgement
        choice = ModelChoice(model, device, dtype, preset, replaced, off, revision, local_files_only)
        found = find(_given(photos, from_), _listed(from_), recursive=recursive, out=place)
        if not (asked or found.photos.all_bring_names):
            gather_names(names, names_file)  # says what is missing
        if exports:
            own = (name for photo in found.photos for name in photo.names or ())
            check_exports(Path(out), exports, (*asked, *own), lambda: (task.stem for task in found.photos.tasks()))
        spec = EVERYTHING if presence is None else presence
        keys = () if spec == EVERYTHING else tuple(photo.path for photo in found.photos)
        chosen = FilterChoice(spec, parse_llm(llm or [], spec), device, local_files_only, photos=keys)
        early = None if chosen.asks_model or ray is not None else chosen.make()
        open_folder(place)
        figures = [] if figure is None else [f"figure-{figure_format(figure)}"]
        wanted = {"heat": heatmaps, "instances": instances is not None, "npz": npz}
        outputs = (*DEFAULT_OUTPUTS, *(kind for kind, on in wanted.items() if on), *figures)
        if json_ not in (None, "-"):
            folder, read = on_disk(out), (on_disk(photo.path) for photo in found.photos)
            results_of = () if folder is None else paths_of(folder, found.photos.tasks(), outputs, asked)
            refuse_target(Path(json_), filter(None, read), results_of, overwrite=overwrite)
        recipe = Recipe(choice, asked, place, outputs, chosen, overwrite, redo, retry_failed, max_pixels or MAX_PIXELS)
        with notes.status(f"Loading {model}"):
            from pnpovss.batch.crew import crew_for
            from pnpovss.batch.ray_data import Cluster
            from pnpovss.cli.progress import following
            from pnpovss.cli.segment_view import SegmentView

            if ray is None:
                crew = crew_for(
                    recipe, early, photos=len(found.photos), workers=workers or 1, devices=tuple(listed(devices))
                )
            else:
                crew = Cluster(recipe, ray, workers, parquet)
        shown = len(found.photos) <= FEW if details is None else details
        with crew, _records_to(json_) as records, following(notes, len(found.photos)) as progress:
            view = SegmentView(results, notes, place, records, details=shown, debug=debug)
            for text in found.problems:
                view.fail(text)
            for text in found.notes:
                say(notes, text, "dim")
            try:
                for outcome in crew.run_all(found.photos.tasks()):
                    view.add(outcome)
                    progress.step(view.so_far)
            except KeyboardInterrupt:
                view.sum_up()
                raise
        tell_presence(spec, crew.report, notes)
        view.sum_up()
        if exports and view.done + view.skipped:
            write_exports(place, exports, None, results, notes)
        if view.failed:
            _hint_at_words(found.words, asked, notes)
            raise typer.Exit(FAILED)


def _hint_at_words(words: "Sequence[str]", asked: "Sequence[Name]", notes: Console) -> None:
    """Say how names go together, where some were taken for photos."""
    if words:
        together = ", ".join([*map(str, asked[-1:]), *words])
        say(notes, f'names, not photos? They go together, with commas: --names "{together}"', "yellow")


def _given(photos: list[str] | None, from_: str | None) -> list[str]:
    from pnpovss.errors import InvalidInputError

    if not photos and from_ is None:
        raise InvalidInputError("name photos, folders or patterns, or a list with --from")
    return photos or []


def _listed(source: str | None) -> "Iterable[Photo | str]":
    """The photos of `--from`, and what is wrong with its entries."""
    if source is None:
        return ()
    from pnpovss.batch.lists import parse_list, read_list

    return parse_list(sys.stdin.buffer, "standard input") if source == "-" else read_list(Path(source))


@contextmanager
def _records_to(target: str | None) -> "Iterator[Records | None]":
    """Where `--json` collects the records: a file, stdout, or nowhere."""
    from pnpovss.batch.records import Records, records_file

    if target is None:
        yield None
    elif target == "-":
        records = Records(sys.stdout)
        try:
            yield records
        finally:
            records.close()
    else:
        with records_file(Path(target)) as records:
            yield records
