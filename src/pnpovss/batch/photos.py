"""Which photos are meant: files, folders, patterns and lists, each photo once, in the order given."""

import glob
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pnpovss.batch.export.mark import MARK, is_export
from pnpovss.batch.naming import Photo
from pnpovss.batch.worklist import Worklist
from pnpovss.files.local import LocalFolder
from pnpovss.files.remote import RemoteFolder, is_url, matching
from pnpovss.files.walk import inside, walk
from pnpovss.images import PHOTO_SUFFIXES

__all__ = ["Found", "find"]

_OUR_PICTURES = re.compile(
    r"\.((labels|overlay|instances|heat-\d+[^.]*|figure-[a-z]+)\.png|(steps|passes)\.(png|webp|gif))$"
)

# Pictures that are no photos this program reads; to pass over them in silence would look like a loss.
_OTHER_PICTURES = frozenset(".arw .cr2 .cr3 .dng .eps .exr .hdr .nef .orf .psd .raf .raw .rw2 .svg .xcf".split())


@dataclass
class Found:
    """What the arguments come to.

    Attributes:
        photos: each once.
        problems: arguments and entries of a list that match no photo; they count as failures.
        notes: what was left out, where somebody might miss it.
        words: arguments that are no files and look like words: `--names cat rocket` names one thing only.
    """

    photos: Worklist
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def find(
    given: Sequence[str], listed: Iterable[Photo | str] = (), *, recursive: bool = False, out: Path | str
) -> Found:
    """Photos from files, folders and patterns, and from a list.

    Pictures that this program wrote (NAME.labels.png and so on), and the output folder and exports where they lie
    inside a folder that is searched, are left out. Links to folders are followed, each folder once.

    Args:
        given: files, folders (the photos directly in them, or below them), and patterns, where "**" is any depth; each
            may be a URL that fsspec knows.
        listed: photos of a list, and lines on entries that are none.
        recursive: whether to look into the folders of folders.
        out: the output folder, or its URL.

    Returns:
        The photos; a file that does not exist counts as one: it fails when it is read, like any other bad one.
    """
    found = Found(Worklist(out))
    for text in given:
        if _is_word(text):
            found.words.append(text)
        for photo in _meant(text, recursive, out, found):
            found.photos.add(photo)
    for entry in listed:
        if isinstance(entry, str):
            found.problems.append(entry)
        elif not found.photos.add(entry):
            found.problems.append(f"{entry.path}: is listed twice; the first entry counts")
    return found


def _is_word(text: str) -> bool:
    return not re.search(r"[/\\.]", text) and not os.path.exists(text) and not glob.has_magic(text)


def _meant(text: str, recursive: bool, out: Path | str, found: Found) -> Iterator[Photo]:
    """The photos of one argument."""
    left = _LeftOut(text)
    if is_url(text):
        yield from _meant_remotely(text, recursive, str(out), left, found)
    elif os.path.isdir(text):
        folders = _walk(text, out, left) if recursive else [(text, inside(text, left.unreadable)[0])]
        number = 0
        for _, files in folders:
            for path in left.photos_of(files):
                number += 1
                yield Photo(path, os.path.relpath(path, text))
        found.problems += left.unread.values()
        if not number and not left.unread:
            found.problems.append(left.why_none(recursive))
        elif told := left.told():
            found.notes.append(told)
    elif glob.has_magic(text) and not os.path.lexists(text):
        base = _fixed_part(text)
        paths = sorted(path for path in set(_matches(text, out, left)) if os.path.isfile(path))
        photos = list(left.photos_of(paths))
        yield from (Photo(path, os.path.relpath(path, base)) for path in photos)
        found.problems += left.unread.values()
        if not photos and not left.unread:
            found.problems.append(f"{text}: no photo matches this pattern{left.aside()}")
    else:
        yield Photo(text, os.path.basename(text), named=True)


def _meant_remotely(text: str, recursive: bool, out: str, left: "_LeftOut", found: Found) -> Iterator[Photo]:
    """The photos of one URL: a file, a folder, or a pattern.

    Raises:
        InvalidInputError: the server cannot be asked, or its protocol is unknown.
    """
    is_web = text.startswith("http")  # where one address is one file, and "?" begins a query
    if glob.has_magic(text) and not is_web:
        base = _fixed_part(text)
        photos = list(left.photos_of(matching(text)))
        yield from (Photo(url, os.path.relpath(url, base)) for url in photos)
        if not photos:
            found.problems.append(f"{text}: no photo matches this pattern{left.aside()}")
        return
    folder, number = RemoteFolder(text), 0
    if is_web or not folder.is_folder():
        yield Photo(text, posixpath.basename(text), named=True)
        return
    skipped = (f"{out.rstrip('/')}/",)
    for here, names in folder.walk(depth=None if recursive else 1):
        if MARK in names and here != folder.url and is_export(RemoteFolder(here)):
            skipped = (*skipped, f"{here}/")
        if f"{here}/".startswith(skipped):
            continue
        for url in left.photos_of(f"{here}/{name}" for name in names):
            number += 1
            yield Photo(url, url.removeprefix(folder.url).lstrip("/"))
    if not number:
        found.problems.append(left.why_none(recursive))
    elif told := left.told():
        found.notes.append(told)


def _walk(folder: str, out: Path | str, left: "_LeftOut") -> Iterator[tuple[str, list[str]]]:
    """(folder, paths of the files in it) of a folder and all below it.

    Never the output folder, nor what `export` made; but the folder itself, whatever it is.
    """
    start, ours = os.path.realpath(folder), os.path.realpath(out)

    def skipped(real: str) -> bool:
        marked = os.path.lexists(os.path.join(real, MARK))
        return real != start and (real == ours or (marked and is_export(LocalFolder(Path(real)))))

    return walk(folder, unread=left.unreadable, skipped=skipped)


def _matches(pattern: str, out: Path | str, left: "_LeftOut") -> Iterator[str]:
    """Like `glob.iglob(recursive=True)`, which never ends where links go in circles."""
    any_depth = re.search(r"(?:^|(?<=/))\*\*(?:/|$)", pattern)
    if not any_depth:
        yield from glob.iglob(pattern)  # "**" beside other characters is "*", as in a shell
        return
    head, tail = pattern[: any_depth.start()], pattern[any_depth.end() :]
    for start in glob.glob(head) if head else ["."]:
        for folder, _ in _walk(start, out, left):
            inside = glob.escape(folder) if head or folder != "." else ""
            yield from _matches(os.path.join(inside, tail or "*"), out, left)


def _fixed_part(pattern: str) -> str:
    """The folder before the first part of a pattern that is none."""
    fixed: list[str] = []
    for part in pattern.split("/")[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed) or ("/" if pattern.startswith("/") else ".")


class _LeftOut:
    """Counts what is passed over in one argument, and says what somebody might miss."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pictures: Counter[str] = Counter()
        self.hidden = 0
        self.unread: dict[str, str] = {}  # a line on each folder that cannot be searched

    def photos_of(self, paths: Iterable[str]) -> Iterator[str]:
        """Those that are photos; the others are counted."""
        for path in paths:
            name = os.path.basename(path)
            suffix = os.path.splitext(name)[1].lower()
            if suffix in PHOTO_SUFFIXES and not name.startswith("."):
                if not _OUR_PICTURES.search(name):
                    yield path
            elif suffix in PHOTO_SUFFIXES:
                self.hidden += 1
            elif suffix in _OTHER_PICTURES:
                self.pictures[suffix] += 1

    def unreadable(self, folder: str, error: OSError) -> None:
        """Note a folder that cannot be searched."""
        why = error.strerror or error
        self.unread[folder] = f"{folder}: cannot be searched ({why}), photos there are left out; check its permissions"

    def aside(self) -> str:
        """What was there instead, to end a line with; empty where nothing was."""
        parts = [f"{count} {suffix}" for suffix, count in sorted(self.pictures.items())]
        if not (parts or self.hidden):
            return ""
        kinds = f"{', '.join(parts)} cannot be read (convert them first)" if parts else ""
        hidden = f"{self.hidden} hidden" if self.hidden else ""
        return "; left out: " + "; ".join(part for part in (kinds, hidden) if part)

    def told(self) -> str | None:
        """A line on what was left out; None where that was nothing to miss."""
        aside = self.aside()
        return f"{self.text}{aside.replace(';', ':', 1)}" if aside else None

    def why_none(self, recursive: bool) -> str:
        """A line on a folder without photos."""
        deeper = "" if recursive else "; --recursive looks into its subfolders"
        return f"{self.text}: no photos in this folder{self.aside()}{deeper}"
