"""`pnpovss segment`: photos and names in; label maps, overlays and records out."""

from pathlib import Path
from typing import Annotated

import typer

from pnpovss.cli.presence import LLM_HELP
from pnpovss.cli.terminal import FAILED, consoles, logged_to, readable_errors, say
from pnpovss.config import PRESETS, STEPS, Config

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
        Path | None, typer.Option(metavar="FILE", help="One name a line, with synonyms after commas.")
    ] = None,
    presence: Annotated[
        str,
        typer.Option(metavar="FILTER", help="Ask only for names held to be there: itm, itc, file:PATH, llm:MODEL, ..."),
    ] = "all",
    llm: Annotated[list[str] | None, typer.Option("--llm", metavar="NAME=VALUE", help=LLM_HELP)] = None,
    model: Annotated[str, typer.Option(help="A bundled name, a hub id or a folder; see `pnpovss models`.")] = "mini",
    preset: Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")] = "default",
    without: Annotated[
        list[str] | None, typer.Option(metavar="STEP,...", help=f"Steps to leave out: {', '.join(STEPS)}.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Replace a setting; --settings lists them.")
    ] = None,
    settings: Annotated[
        bool, typer.Option("--settings", callback=_print_settings, is_eager=True, help="List the settings and exit.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results are written; made if missing.")] = Path("."),
    heatmaps: Annotated[bool, typer.Option("--heatmaps", help="Also write a heat map picture a name.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="Also write NAME.npz: scores, heat maps, everything.")] = False,
    json_: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Also write all records to one file; - is stdout.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of other photos.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32 (exact) or bfloat16 (faster).")] = "float32",
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
    local_files_only: Annotated[bool, typer.Option("--local-files-only", help="Never ask a hub.")] = False,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Refuse photos with more pixels; 50 million if not given.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Segment photos by names.

    Writes NAME.labels.png, NAME.overlay.png and NAME.json for each photo. Exit code 1: some photos failed; 2: the
    request could not be carried out at all.
    """
    results, notes = consoles(machine_readable=json_ == "-")
    with readable_errors(notes, debug=debug), logged_to(notes):
        # Imported here, because --help must not wait for arrays, and nobody's typing error for torch.
        from pnpovss.batch import photos as finding
        from pnpovss.cli.names import gather_names
        from pnpovss.cli.presence import early_presence, late_presence, tell_presence
        from pnpovss.cli.settings import parse_settings, parse_steps
        from pnpovss.images import MAX_PIXELS

        asked = gather_names(names, names_file)
        replaced, off = parse_settings(set_ or []), parse_steps(without or [])
        Config.preset(preset, replaced).without(*off)
        early = early_presence(presence, llm or [], device=device, local_files_only=local_files_only)
        files, empty = finding.expand(photos)
        tasks = list(zip(files, finding.output_stems(files), strict=True))
        finding.open_folder(out)
        with notes.status(f"Loading {model}"):
            from pnpovss.batch.job import Job, segment_photos, write_records
            from pnpovss.segmenter import Segmenter

            segmenter = Segmenter.from_pretrained(
                model,
                device=device,
                dtype=dtype,
                preset=preset,
                settings=replaced,
                without=off,
                revision=revision,
                local_files_only=local_files_only,
            )
            segmenter, chosen = late_presence(presence, early, segmenter)
        job = Job(segmenter, asked, out, heatmaps, npz, overwrite, max_pixels or MAX_PIXELS, chosen)
        records, failures = segment_photos(job, tasks, results, notes, debug=debug)
        tell_presence(chosen, notes)
        failures = [{"photo": None, "error": text} for text in empty] + failures
        if json_ is not None:
            write_records({"results": records, "failures": failures}, json_)
        if failures:
            say(notes, f"{len(records)} photos done, {len(failures)} not:", "red")
            for failure in failures:
                say(notes, f"  {failure['error']}", "red")
            if words := finding.bare_words(files):
                together = ", ".join([str(asked[-1]), *words])
                say(notes, f'names, not photos? They go together, with commas: --names "{together}"', "yellow")
            raise typer.Exit(FAILED)
