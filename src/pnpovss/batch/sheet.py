"""Models side by side on one sheet: a picture, or a page that needs nothing else."""

import base64
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from pnpovss.batch.comparison import WIDTH, Look, Row
from pnpovss.errors import OutputError
from pnpovss.files.marks import bears
from pnpovss.files.templates import template
from pnpovss.names import Name
from pnpovss.printable import printable

__all__ = ["SUFFIXES", "check_target", "sheet"]

SUFFIXES = (".png", ".html")

_MADE_BY = "pnpovss compare"
_MARKS = (b"tEXtSoftware\0" + _MADE_BY.encode(), b"<!-- made by " + _MADE_BY.encode())  # of a picture, of a page

_PAPER, _INK, _FAINT, _WRONG = (255, 255, 255), (32, 32, 32), (110, 110, 110), (170, 85, 0)
_GAP, _LINE, _LETTERS = 12, 17, 13  # between pictures, of text and its letters [px]
_COLUMN = 34  # letters a line of what is said of a model


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a sheet that could not be written, before anything is computed.

    Raises:
        OutputError: it is no .png or .html, its folder is missing, or something is there that is no sheet, or a sheet
            that is not to be replaced.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"cannot write a sheet as {path.name}; expected a file that ends in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if path.exists() and not bears(path, *_MARKS):
        raise OutputError(f"{path} exists, and is no sheet that this program made; choose another --out")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another --out, or replace it with --overwrite")


def sheet(path: Path, photos: Sequence[Path], names: Sequence[Name], rows: Sequence[Row]) -> bytes:
    """The content of a sheet, of the kind that the end of its path says.

    Args:
        path: where it will be written.
        photos: what was looked at.
        names: what was looked for.
        rows: what came out, by model.
    """
    if path.suffix.lower() == ".html":
        return _page(photos, names, rows).encode("utf-8", "backslashreplace")
    file = io.BytesIO()
    mark = PngInfo()
    mark.add_text("Software", _MADE_BY)
    _picture(photos, rows).save(file, "PNG", optimize=True, pnginfo=mark)
    return file.getvalue()


def _page(photos: Sequence[Path], names: Sequence[Name], rows: Sequence[Row]) -> str:
    page = template("pnpovss.batch", "comparison.html.j2", embedded=_embedded)
    return page.render(
        made_by=_MADE_BY, photos=[str(photo) for photo in photos], names=[name.text for name in names], rows=rows
    )


def _embedded(picture: Image.Image) -> str:
    """A picture as the address of an image that lies in the page itself."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _picture(photos: Sequence[Path], rows: Sequence[Row]) -> Image.Image:
    """A band per photo: its path, then a line of pictures per model."""
    bands = [
        band
        for number, photo in enumerate(photos)
        for band in (_text(str(photo), 80, _INK), *(_band(row, row.looks[number]) for row in rows))
    ]
    whole = Image.new("RGB", (max(band.width for band in bands), sum(band.height + _GAP for band in bands)), _PAPER)
    top = 0
    for band in bands:
        whole.paste(band, (0, top))
        top += band.height + _GAP
    return whole


def _band(row: Row, look: Look | str) -> Image.Image:
    """What is said of a model, then the pictures of one photo, or why there are none."""
    said = [_text(f"{row.model}\n{row.told}", _COLUMN, _INK)]
    if isinstance(look, str):
        return _beside([*said, _text(look, 80, _WRONG)])
    matches = [_text(f"match {match:.2f}", _COLUMN, _FAINT) for match in look.match]
    heats = [_above(heat, match) for heat, match in zip(look.heats, matches, strict=True)]
    return _beside([*said, look.overlay, *heats])


def _text(text: str, letters: int, colour: tuple[int, int, int]) -> Image.Image:
    """Lines of at most so many letters, as wide as they may become."""
    lines = [line for part in text.split("\n") for line in textwrap.wrap(printable(part), letters) or [""]]
    strip = Image.new("RGB", (round(letters * _LETTERS * 0.62) + 2 * _GAP, len(lines) * _LINE + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(_LETTERS)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP // 2 + number * _LINE), line, colour, font)
    return strip


def _above(upper: Image.Image, lower: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (max(upper.width, WIDTH), upper.height + lower.height), _PAPER)
    whole.paste(upper, (0, 0))
    whole.paste(lower, (0, upper.height))
    return whole


def _beside(parts: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (sum(part.width + _GAP for part in parts), max(part.height for part in parts)), _PAPER)
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width + _GAP
    return whole
