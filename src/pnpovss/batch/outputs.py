"""One photo's result as files and as a table."""

import io
import json
import re
from collections.abc import Sequence
from typing import Any

from PIL import Image
from rich.table import Table
from rich.text import Text

from pnpovss.names import Name
from pnpovss.results import exports
from pnpovss.results.drawing import colour
from pnpovss.results.segmentation import Segmentation

__all__ = ["doubts", "file_contents", "file_names", "json_bytes", "table"]


def file_names(stem: str, names: Sequence[Name], *, heatmaps: bool, npz: bool) -> dict[str, str]:
    """What is written for a photo: file names by kind; the record comes last, so that it stands for a complete set."""
    files = {"labels": f"{stem}.labels.png", "overlay": f"{stem}.overlay.png"}
    if heatmaps:
        files |= {f"heat {name}": f"{stem}.heat-{i}-{_slug(str(name))}.png" for i, name in enumerate(names, start=1)}
    if npz:
        files["npz"] = f"{stem}.npz"
    return {**files, "json": f"{stem}.json"}


def _slug(name: str) -> str:
    """A name as part of a file name: letters and digits, with dashes between."""
    return re.sub(r"[\W_]+", "-", name.lower()).strip("-")[:40]


def file_contents(kind: str, result: Segmentation, photo: Image.Image, record: dict[str, Any]) -> bytes:
    """One of the files of `file_names`, by its kind."""
    if kind == "labels":
        return exports.png_bytes(result)
    if kind == "overlay":
        return _png(exports.overlay(result, photo))
    if kind == "npz":
        return exports.npz_bytes(result)
    if kind == "json":
        return json_bytes(record)
    return _png(exports.heat_picture(result, photo, kind.removeprefix("heat ")))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def json_bytes(document: dict[str, Any]) -> bytes:
    """JSON as UTF-8; bytes of file names that are no UTF-8 become escapes."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


DOUBTFUL = 0.1
"""A match score below which the model holds a name to be absent."""


def doubts(result: Segmentation) -> str | None:
    """A line on the names that got pixels though the model doubts that they are there; None where there are none.

    The method gives every name that is asked for its best place, and leaves it to the asker that it has one.
    """
    if result.name_match is None:
        return None
    absent = [
        str(name)
        for name, score, share in zip(result.names, result.name_match, result.shares, strict=True)
        if score < DOUBTFUL and share
    ]
    if not absent:
        return None
    return f"hardly there, by its match score: {', '.join(absent)}; --presence itm leaves such names out"


def table(result: Segmentation) -> Table:
    """Names, share of pixels and match score."""
    shown = Table()
    shown.add_column("name")
    shown.add_column("share of pixels", justify="right")
    shown.add_column("match score", justify="right")
    for i, name in enumerate(result.names):
        share = result.shares[i]
        swatch = Text("\N{BLACK SQUARE} ", "#{:02x}{:02x}{:02x}".format(*colour(i)))
        match = f"{result.name_match[i]:.2f}" if result.name_match else "-"
        shown.add_row(swatch + Text(str(name)), Text(f"{share:.1%}", "" if share else "dim"), match)
    if result.has_background:
        shown.add_row(Text("  background", "dim"), Text(f"{(result.labels == 0).mean():.1%}", "dim"), "")
    return shown
