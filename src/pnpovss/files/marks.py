"""Which files may be replaced: those that bear this program's mark in their content, and are not being read."""

from pathlib import Path

__all__ = ["bears", "same"]


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
