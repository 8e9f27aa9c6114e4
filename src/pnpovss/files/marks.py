"""Which files may be replaced: those that bear this program's mark in their content, and are not being read."""

import os
from collections.abc import Mapping
from pathlib import Path

from pnpovss.errors import OutputError

__all__ = ["bears", "refuse_others", "same"]


def bears(path: Path, *marks: bytes) -> bool:
    """Whether a file is there that holds one of some marks; one that cannot be read counts as somebody else's."""
    try:
        content = path.read_bytes() if path.is_file() else b""  # a pipe would be waited for
    except OSError:
        return False
    return any(mark in content for mark in marks)


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file that is there."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def refuse_others(files: Mapping[Path, bytes], maker: str, instead: str) -> None:
    """Refuse to replace files that somebody else made.

    Args:
        files: where something will be written, and the mark that it will bear.
        maker: the command that writes it.
        instead: what to do.

    Raises:
        OutputError: a file is there that does not bear its mark.
    """
    for path, mark in files.items():
        if os.path.lexists(path) and not bears(path, mark):
            raise OutputError(f"{path} was not made by `{maker}`, and would be replaced; {instead}")
