"""What `pnpovss segment` does, once its arguments are read: every photo, whatever happens to the others."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pnpovss.batch import outputs as writing
from pnpovss.batch import photos as finding
from pnpovss.cli.presence import narrow
from pnpovss.cli.terminal import one_line, say
from pnpovss.errors import NamesError
from pnpovss.files.writing import write_all
from pnpovss.hints.looks_like import looks_like
from pnpovss.images import MAX_PIXELS, load_image
from pnpovss.names import Name
from pnpovss.results.segmentation import Segmentation

if TYPE_CHECKING:
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["Job", "segment_photos", "write_records"]


@dataclass(frozen=True)
class Job:
    """What is done with each photo."""

    segmenter: "Segmenter"
    names: tuple[Name, ...]
    out: Path
    heatmaps: bool
    npz: bool
    overwrite: bool
    max_pixels: int = MAX_PIXELS
    presence: "PresenceFilter | None" = None

    def run(self, photo: Path, stem: str) -> tuple[Segmentation, dict[str, Any]]:
        """Segment one photo and write its files; gives the result and its record."""
        image = load_image(photo, max_pixels=self.max_pixels)
        asked, decided = narrow(self.presence, image, self.names, photo)
        files = writing.file_names(stem, asked, heatmaps=self.heatmaps, npz=self.npz)
        if not self.overwrite:
            finding.refuse_foreign([self.out / file for file in files.values()], self.out / files["json"], photo)
        result = self.segmenter(image, asked, name_match=True)
        record = {"photo": os.path.realpath(photo), "files": files, **result.to_dict(), **decided}
        write_all({self.out / file: writing.file_contents(kind, result, image, record) for kind, file in files.items()})
        return result, record


def segment_photos(
    job: Job, tasks: list[tuple[Path, str]], results: Console, notes: Console, *, debug: bool
) -> tuple[list[dict[str, Any]], list[dict[str, str | None]]]:
    """Every photo, whatever happens to the others; gives the records and what failed.

    Raises:
        NamesError: the model cannot read the names; that holds for every photo.
    """
    records: list[dict[str, Any]] = []
    failures: list[dict[str, str | None]] = []
    columns = (SpinnerColumn(), TextColumn("{task.fields[photo]}"), BarColumn(), MofNCompleteColumn())
    shown = Progress(*columns, TimeElapsedColumn(), console=notes, transient=True, disable=not notes.is_terminal)
    with shown as progress:
        bar = progress.add_task("", total=len(tasks), photo="")
        for photo, stem in tasks:
            progress.update(bar, photo=escape(photo.name))
            try:
                result, record = job.run(photo, stem)
            except NamesError:
                raise
            except Exception as error:
                if debug:
                    notes.print_exception()
                text = one_line(error)
                failures.append({"photo": str(photo), "error": text if str(photo) in text else f"{photo}: {text}"})
            else:
                records.append(record)
                say(results, str(photo), "bold")
                results.print(writing.table(result))
                doubts = writing.doubts(result) if job.presence is None else None
                for line in [*([doubts] if doubts else []), *looks_like(result)]:
                    say(results, line, "yellow")
                say(results, str(job.out / record["files"]["overlay"]), "dim")
            progress.advance(bar)
    return records, failures


def write_records(document: dict[str, Any], target: str) -> None:
    """Write the records of all photos to a file, or to stdout for "-"."""
    content = writing.json_bytes(document)
    if target == "-":
        typer.echo(content.decode("utf-8"), nl=False)
    else:
        write_all({Path(target): content})
