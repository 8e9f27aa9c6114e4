"""Files that are whole or absent, for what the next run takes as done where it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, renamed when the block ends, so that a kill leaves no half file."""
    part = path.with_name(f"{path.name}.part")
    yield part
    part.replace(path)


def write_whole(path: Path, text: str) -> None:
    """Write a text file."""
    with whole(path) as part:
        part.write_text(text)
