"""A page to look through a run: `gallery/index.html` in its folder, which works from the disk, without a server."""

import csv
import io
import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pnpovss.batch.export.run import DECISIONS, RunPhoto, read_run
from pnpovss.batch.folder import open_folder
from pnpovss.files.marks import refuse_others
from pnpovss.files.writing import write_all
from pnpovss.hints.kinds import KINDS, kinds_of

__all__ = ["write_gallery"]

FOLDER = "gallery"
_COLUMNS = ("photo", "stem", "decision", "name", "kept", "share", "match", "score", "hints")
_MARKS = {
    "photos.js": b'const RUN = {"names": [',
    "records.csv": ",".join(_COLUMNS).encode(),
    "index.html": b"<title>pnpovss: photos of a run</title>",
}
KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


def write_gallery(run: Path) -> tuple[Path, int]:
    """Write the page with what it shows, and records.csv, a line per photo and name.

    Args:
        run: the output folder of `pnpovss segment`.

    Returns:
        The page, and how many photos it shows.

    Raises:
        InvalidInputError: no finished photo is there.
        OutputError: it cannot be written, or other files of these names are there.
    """
    found = read_run(run, dropped_too=True)
    page = run / FOLDER / "index.html"
    open_folder(page.parent, "move it away")
    marks = {page.with_name(name): mark for name, mark in _MARKS.items()}
    refuse_others(marks, "pnpovss gallery", "move it away")
    told = {
        "names": list(found.categories),
        "kinds": list(KINDS),
        "decisions": dict.fromkeys(found.dropped, "drop"),
        "file": DECISIONS,
    }
    shown, table = io.StringIO(), io.StringIO()
    shown.write(f"const RUN = {_script(told)};\nconst PHOTOS = [")
    rows = csv.writer(table)
    rows.writerow(_COLUMNS)
    count = 0
    for photo in found.photos():
        rows.writerows(_lines(photo, "drop" if photo.stem in found.dropped else "keep"))
        shown.write(f"{',' if count else ''}\n{_script(_row(photo, found.categories))}")
        count += 1
    shown.write(f"\n];\nconst FAILED = {_script(dict(found.failures()))};\n")
    write_all(
        {
            page.with_name("photos.js"): shown.getvalue().encode("utf-8", "backslashreplace"),
            page.with_name("records.csv"): table.getvalue().encode("utf-8", "backslashreplace"),
            page: files("pnpovss.batch").joinpath("gallery.html").read_bytes(),
        }
    )
    return page, count


def _lines(photo: RunPhoto, decision: str) -> Iterator[list[Any]]:
    """A photo's lines of records.csv, one per name."""
    hints = "; ".join(kinds_of(photo.record.get("hints", [])))
    for name in photo.record["names"]:
        values = [name[key] for key in ("name", "kept", "share", "match", "score")]
        yield [photo.record["photo"], photo.stem, decision, *values, hints]


def _row(photo: RunPhoto, categories: dict[str, int]) -> dict[str, Any]:
    """What the page shows of one photo; names by their place in the run's list."""
    picture = next((file["file"] for file in photo.record["files"] if file["kind"] == "overlay"), None)
    folder = "/".join(["..", *photo.stem.split("/")[:-1]])
    names = [_name(categories[name["name"]] - 1, name) for name in photo.record["names"]]
    return {
        "stem": photo.stem,
        "picture": picture and quote(os.fsencode(f"{folder}/{picture}")),  # scripts cannot quote what is no text
        "names": names,
        "kinds": [KIND_NUMBERS[kind] for kind in kinds_of(photo.record.get("hints", []))],
        "hints": photo.record.get("hints", []),
    }


def _name(place: int, name: dict[str, Any]) -> list[Any]:
    """Place, share, match, and whether it was looked for. However small a share is, it is no 0: that is not found."""
    return [place, float(f"{name['share']:.4g}"), name["match"] and round(name["match"], 3), name["kept"]]


def _script(value: Any) -> str:
    """JSON that may stand in a script: nothing in it ends the script."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
