"""Folders of photos as people keep them: links to folders are followed, each folder once, so that no circle traps."""

import os
from collections.abc import Callable, Iterator

__all__ = ["inside", "walk"]

Unread = Callable[[str, OSError], None]  # told of a folder that cannot be searched


def walk(folder: str, *, unread: Unread, skipped: Callable[[str], bool]) -> Iterator[tuple[str, list[str]]]:
    """(folder, paths of the files in it) of a folder and all below it, each once: real ones first, then linked ones.

    Args:
        folder: where to start.
        unread: told of each folder that cannot be searched; what it raises ends the walk.
        skipped: whether a folder, by its real path, is left out with all below it.
    """
    seen: set[str] = set()
    waiting, links = [folder], list[str]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(here)
        if real in seen or skipped(real):
            continue
        seen.add(real)
        files, inner = inside(here, unread)
        yield here, files
        links += [path for path, is_link in inner if is_link]
        waiting += [path for path, is_link in reversed(inner) if not is_link]


def inside(folder: str, unread: Unread) -> tuple[list[str], list[tuple[str, bool]]]:
    """Paths of the files directly in a folder, and (path, whether it is a link) of its open folders; by name.

    Args:
        folder: to look into; hidden folders in it are left out.
        unread: told where it cannot be searched.
    """
    files, folders = list[str](), list[tuple[str, bool]]()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _is_folder(entry):
                    files.append(entry.path)
                elif not entry.name.startswith("."):
                    folders.append((entry.path, entry.is_symlink()))
    except OSError as error:
        unread(folder, error)
    return sorted(files), sorted(folders)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder or leads to one; what leads nowhere is none, and fails alone if it is a photo."""
    try:
        return entry.is_dir()
    except OSError:
        return False
