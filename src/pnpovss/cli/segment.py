"""`pnpovss segment`: photos and names in; label maps, overlays and records out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pnpovss.batch.model import ModelChoice
from pnpovss.cli import options
from pnpovss.cli.terminal import FAILED, consoles, logged_to, readable_errors, say

if TYPE_CHECKING:
    from pnpovss.batch.records import Records

__all__ = ["segment"]


def _print_settings(wanted: bool) -> None:
    if wanted:
        from pnpovss.cli.settings import settings_table

        consoles(machine_readable=False)[0].print(settings_table())
        raise typer.Exit


def segment(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Photos, folders of photos, or patterns.")],
    names: Annotated[str | None, typer.Option(help='What to look for: "cat, potted plant".')] = None,
    names_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One name per line, with synonyms after commas.")
    ] = None,
    presence: Annotated[
        str,
        typer.Option(metavar="FILTER", help="Ask only for names held to be there: itm, itc, file:PATH, llm:MODEL, ..."),
    ] = "all",
    llm: options.Llm = None,
    model: options.Model = "mini",
    preset: options.Preset = "default",
    without: options.Without = None,
    set_: options.Set = None,
    settings: Annotated[
        bool, typer.Option("--settings", callback=_print_settings, is_eager=True, help="List the settings and exit.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results are written; made if missing.")] = Path("."),
    heatmaps: Annotated[bool, typer.Option("--heatmaps", help="Also write a heat map picture per name.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="Also write NAME.npz: scores, heat maps, everything.")] = False,
    json_: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Also write all records to one file; - is stdout.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of other photos.")] = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
    local_files_only: Annotated[bool, typer.Option("--local-files-only", help="Never ask a hub.")] = False,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Refuse photos with more pixels; 50 million if not given.")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Segment photos by names.

    Writes NAME.labels.png, NAME.overlay.png and NAME.json for each photo. Exit code 1: some photos failed; 2: the
    request could not be carried out at all.
    """
    results, notes = consoles(machine_readable=json_ == "-")
    with readable_errors(notes, debug=debug), logged_to(notes):
        # Imported here, because --help must not wait for arrays, and nobody's typing error for torch.
        from pnpovss.batch import photos as finding
        from pnpovss.batch.events import Task
        from pnpovss.batch.records import refuse_target
        from pnpovss.cli.names import gather_names
        from pnpovss.cli.presence import EVERYTHING, early_presence, late_presence, tell_presence
        from pnpovss.cli.settings import parse_settings, parse_steps
        from pnpovss.images import MAX_PIXELS

        asked = gather_names(names, names_file)
        replaced, off = parse_settings(set_ or []), tuple(parse_steps(without or []))
        choice = ModelChoice(model, device, dtype, preset, replaced, off, revision, local_files_only)
        files, empty = finding.expand(photos)
        keys = [file.as_posix() for file in files]
        early = early_presence(presence, llm or [], device=device, local_files_only=local_files_only, photos=keys)
        tasks = [Task(photo, stem) for photo, stem in zip(files, finding.output_stems(files), strict=True)]
        finding.open_folder(out)
        if json_ not in (None, "-"):
            refuse_target(Path(json_), files, overwrite=overwrite)
        with notes.status(f"Loading {model}"):
            from pnpovss.batch.job import Job, run_all
            from pnpovss.batch.outputs import DEFAULT_OUTPUTS
            from pnpovss.cli.segment_view import SegmentView, following

            segmenter = choice.load(share_encodings=presence != EVERYTHING and early is None)
            chosen = late_presence(presence, early, segmenter)
        outputs = (*DEFAULT_OUTPUTS, *(["heat"] if heatmaps else []), *(["npz"] if npz else []))
        job = Job(segmenter, asked, out, outputs, chosen, overwrite, max_pixels or MAX_PIXELS)
        with _records_to(json_) as records, following(notes, len(tasks)) as shown:
            view = SegmentView(results, notes, out, records, debug=debug)
            for text in empty:
                view.fail(text)
            for outcome in run_all(job, tasks):
                view.add(outcome)
                shown(outcome)
        tell_presence(chosen, notes)
        if view.failures:
            view.sum_up()
            if words := finding.bare_words(files):
                together = ", ".join([str(asked[-1]), *words])
                say(notes, f'names, not photos? They go together, with commas: --names "{together}"', "yellow")
            raise typer.Exit(FAILED)


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
