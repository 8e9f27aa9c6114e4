"""`pnpovss gallery`: a page to look through a run."""

from pathlib import Path
from typing import Annotated

import typer

from pnpovss.cli import options
from pnpovss.cli.terminal import consoles, logged_to, readable_errors, say

__all__ = ["gallery"]


def gallery(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The --out folder of `pnpovss segment`.")],
    debug: options.Debug = False,
) -> None:
    """Write RUN/gallery: a page that works from the disk, and records.csv.

    The page filters and sorts by name, share and match, and saves decisions.json, which `pnpovss export` obeys in RUN.
    """
    results, notes = consoles(machine_readable=False)
    with readable_errors(notes, debug=debug), logged_to(notes):
        from pnpovss.batch.gallery import write_gallery
        from pnpovss.errors import InvalidInputError
        from pnpovss.files.remote import is_url

        if is_url(run):
            raise InvalidInputError(f"the page works from a disk, and {run} is none; copy the run to one first")
        page, count = write_gallery(Path(run))
        say(results, f"{page}: {count:,} photos")
