"""Large files that are whole or absent; what fits in memory goes through `pnpovss.files.writing.write_all`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, renamed when the block ends, so that a kill leaves no half file."""
    part = path.with_name(f"{path.name}.part")
    yield part
    part.replace(path)
