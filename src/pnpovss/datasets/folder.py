"""Photos and masks of one's own: a folder with images/, masks/ and names.txt."""

from pathlib import Path

from pnpovss.config import Background
from pnpovss.datasets.base import Counting, Dataset, Exif, LabelSpace
from pnpovss.datasets.benchmark import find_folder, from_folders
from pnpovss.errors import DatasetError, NamesError
from pnpovss.images import PHOTO_SUFFIXES
from pnpovss.names import ListedNames, read_names_file

__all__ = ["SUMMARY", "open_folder"]

SUMMARY = "your own: images/, masks/ (PNG of class ids, 255 left out) and names.txt, one class a line from id 0"
NEVER = Background(policy="never", count=1)
UNSURE = 255


def open_folder(root: Path, protocol: Counting = "field", exif: Exif | None = None) -> Dataset:
    """A folder of photos and index masks.

    `names.txt` has one class a line, synonyms after commas; line i (from 0) is mask value i, and from 255 on i + 1,
    unless every line starts with a number ("15: person"), which then is its value. A line that says "background"
    (mostly the first) is the background, which then counts as a class and is never asked for; without it the
    background is no class, every pixel gets a name, and 255 alone is left out. A number 255 before a name makes 255
    its value.

    Raises:
        DatasetError: a part is missing, or the names cannot be used.
    """
    folder = find_folder(root, [], ["names.txt", "images", "masks"])
    try:
        listed = read_names_file(folder / "names.txt", positional=True)
    except NamesError as error:
        raise DatasetError(str(error)) from error
    samples = from_folders(folder / "images", folder / "masks", PHOTO_SUFFIXES, ".png")
    return Dataset(_space(listed, protocol), root, samples, exif=exif)


def _space(listed: ListedNames, protocol: Counting) -> LabelSpace:
    def value(line: int) -> int:  # 255 has its own meaning, and no line gets it that does not say so
        return line if listed.numbered else line + (line >= UNSURE)

    ids = tuple(map(value, listed.values))
    background = None if listed.background is None else value(listed.background)
    return LabelSpace(
        key="folder",
        names=listed.names,
        ids=ids,
        background_id=background,
        ignored=frozenset({UNSURE}) - {*ids, background},
        background=NEVER if background is None else Background(policy="always"),
        protocol=protocol,
    )
