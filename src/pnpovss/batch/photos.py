"""Which photos are meant, and under which names their results are written."""

import glob
import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pnpovss.errors import InvalidInputError, OutputError
from pnpovss.images import PHOTO_SUFFIXES

__all__ = ["bare_words", "expand", "open_folder", "output_stems", "refuse_foreign"]

_OUR_PICTURES = re.compile(r"\.(labels|overlay|heat-\d+[^.]*)\.png$")


def expand(given: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Photos from files, folders (the photos directly in them) and patterns, each once, in the order given.

    Pictures that this program wrote (NAME.labels.png and so on) are left out of folders and patterns.

    Returns:
        The photos, and what matched nothing, as messages. A file that does not exist counts as a photo: it fails when
        it is read, like any other bad one.
    """
    found: dict[Path, Path] = {}
    empty: list[str] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            photos = [item for item in sorted(path.iterdir()) if _looks_like_photo(item)]
            if not photos:
                empty.append(f"{text}: no photos in this folder; subfolders need a pattern, such as '{text}/**/*.jpg'")
        elif not path.exists() and glob.has_magic(text):
            photos = [item for item in map(Path, sorted(glob.glob(text, recursive=True))) if _looks_like_photo(item)]
            if not photos:
                empty.append(f"{text}: no photo matches this pattern")
        else:
            photos = [path]
        for photo in photos:
            found.setdefault(Path(os.path.realpath(photo)), photo)
    return list(found.values()), empty


def bare_words(photos: Sequence[Path]) -> list[str]:
    """What was given as photos but is no file and looks like a word: `--names cat rocket` names one thing only."""
    return [photo.name for photo in photos if photo.parent == Path() and not photo.suffix and not photo.exists()]


def _looks_like_photo(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in PHOTO_SUFFIXES and not hidden and not _OUR_PICTURES.search(path.name)


def output_stems(photos: Sequence[Path]) -> list[str]:
    """A different name for each photo's results: its stem, or as much of its path as tells it from the others.

    Upper and lower case count as the same, as they do on many disks.

    Raises:
        InvalidInputError: two photos cannot be told apart.
    """
    levels = [0] * len(photos)
    while True:
        stems = [_stem(photo, level) for photo, level in zip(photos, levels, strict=True)]
        alike: dict[str, list[int]] = defaultdict(list)
        for i, stem in enumerate(stems):
            alike[stem.casefold()].append(i)
        clashing = [i for group in alike.values() if len(group) > 1 for i in group]
        if not clashing:
            return stems
        if all(levels[i] > len(Path(os.path.abspath(photos[i])).parts) for i in clashing):
            one, other = (photos[i] for i in clashing[:2])
            raise InvalidInputError(f"the results of {one} and {other} would have the same name; segment them apart")
        for i in clashing:
            levels[i] += 1


def _stem(photo: Path, level: int) -> str:
    """cat, then cat.jpg, then folder-cat.jpg, then parent-folder-cat.jpg, ..."""
    if level == 0:
        return photo.stem
    folders = Path(os.path.abspath(photo)).parent.parts[1:]
    return "-".join([*folders[len(folders) - min(level - 1, len(folders)) :], photo.name])


def open_folder(path: Path) -> None:
    """Make the output folder if it is not there.

    Raises:
        OutputError: it cannot be made, or nothing may be written in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):  # asks the system; permissions alone do not tell of read-only disks
            pass
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise OutputError(f"cannot write into the folder {path}: {reason}; choose another with --out") from error


def refuse_foreign(files: Sequence[Path], record: Path, photo: Path) -> None:
    """Refuse to replace results of another photo.

    Args:
        files: what is to be written.
        record: the .json file of them, which names the photo that it was made from.
        photo: the photo at hand.

    Raises:
        OutputError: some of the files are there and were not made from this photo.
    """
    there = [file for file in files if file.exists()]
    if not there:
        return
    try:
        owner = json.loads(record.read_text("utf-8"))["photo"]
    except (OSError, ValueError, KeyError, TypeError):
        owner = None
    if owner == os.path.realpath(photo):
        return
    whose = f"made from {owner}" if owner else "not made by this program"
    raise OutputError(f"{there[0]} exists and was {whose}; choose another --out, or replace it with --overwrite")
