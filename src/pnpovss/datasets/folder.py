"""Photos and masks of one's own: a folder with images/, masks/ and names.txt."""

from pathlib import Path

from pnpovss.config import Background
from pnpovss.datasets.base import Dataset, LabelSpace, Protocol
from pnpovss.datasets.benchmark import find_folder, from_folders
from pnpovss.datasets.names import read_names_file
from pnpovss.images import PHOTO_SUFFIXES
from pnpovss.names import Name

__all__ = ["SUMMARY", "open_folder"]

SUMMARY = "your own: images/, masks/ (PNG of class ids, 255 left out) and names.txt, one class a line from id 0"
NEVER = Background(policy="never", count=1)
UNSURE = 255
BACKGROUND_LINE = "background"


def open_folder(root: Path, protocol: Protocol = "field") -> Dataset:
    """A folder of photos and index masks.

    `names.txt` has one class a line, synonyms after commas; line i (from 0) is mask value i. If the first line is
    "background", value 0 is the background, which then counts as a class and is never asked for; without it the
    background is no class, every pixel gets a name, and 255 alone is left out.

    Raises:
        DatasetError: a part lacks, or the names cannot be used.
    """
    folder = find_folder(root, [], ["names.txt", "images", "masks"])
    space = _space(read_names_file(folder / "names.txt"), protocol)
    return Dataset(space, root, from_folders(folder / "images", folder / "masks", PHOTO_SUFFIXES, ".png"))


def _space(lines: tuple[Name, ...], protocol: Protocol) -> LabelSpace:
    background = lines[0].text.casefold() == BACKGROUND_LINE
    names = lines[1:] if background else lines
    ids = range(int(background), len(lines))
    return LabelSpace(
        key="folder",
        names=names,
        ids=tuple(value + (value >= UNSURE) for value in ids),  # 255 has its own meaning
        background_id=0 if background else None,
        ignored=frozenset({UNSURE}),
        background=Background() if background else NEVER,
        protocol=protocol,
    )
