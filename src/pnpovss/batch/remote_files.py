"""The files of one photo on object storage: whole files alone, the record last; there are no locks.

A record that is there stands for a complete set, as on a disk: it goes first and comes last. Before the first file is
put, a claim (a small hidden object) lists what is to come; who finds a claim without a record knows what a killed
process left. Two runs that write to one place at a time do the same work twice; they do not harm each other's results,
which are the same.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from pnpovss.batch.photo_files import FAILURE, RECORD, PhotoFiles, checksum, parse_record
from pnpovss.files.remote import RemoteFolder

__all__ = ["RemoteFiles", "claimed_remotely"]


class RemoteFiles(PhotoFiles):
    """See `PhotoFiles`; made by `claimed_remotely`."""

    def __init__(self, folder: RemoteFolder, name: str) -> None:
        self.folder, self.name = folder, name
        self._claim = f".pnpovss-{checksum(name.encode('utf-8', 'surrogatepass'))[:16]}.claim"
        self.record = parse_record(self.read(f"{name}{RECORD}"))

    def read(self, name: str) -> bytes | None:
        """See `PhotoFiles`."""
        return self.folder.read(name)

    def exists(self, name: str) -> bool:
        """See `PhotoFiles`."""
        return self.folder.exists(name)

    def shown(self, name: str) -> str:
        """See `PhotoFiles`."""
        return f"{self.folder}/{name}"

    def clean_up(self) -> None:
        """Remove what a killed process left, unless it came as far as the record."""
        if self.record is not None:
            return
        claim = self.read(self._claim)
        if claim is None:
            return
        with suppress(ValueError):
            for name in json.loads(claim):
                self.folder.remove(name)
        self.folder.remove(self._claim)

    def replace(self, contents: Mapping[str, bytes], record: bytes) -> None:
        """See `PhotoFiles`."""
        names = [f"{self.name}{suffix}" for suffix in contents]
        stale = self.own_files() - set(names)
        self.folder.put(self._claim, json.dumps(sorted({*names, *stale})).encode())
        self.folder.remove(f"{self.name}{RECORD}")
        for name, content in zip(names, contents.values(), strict=True):
            self.folder.put(name, content)
        for name in sorted(stale):
            self.folder.remove(name)
        if self.failure:
            self.folder.remove(f"{self.name}{FAILURE}")
        self.folder.put(f"{self.name}{RECORD}", record)
        self.folder.remove(self._claim)

    def put_note(self, note: bytes) -> None:
        """See `PhotoFiles`."""
        self.folder.put(f"{self.name}{FAILURE}", note)

    def put_record(self, record: bytes) -> None:
        """See `PhotoFiles`."""
        self.folder.put(f"{self.name}{RECORD}", record)


@contextmanager
def claimed_remotely(out: str, stem: str) -> Iterator[RemoteFiles]:
    """The files of one photo.

    Args:
        out: URL of the output folder.
        stem: of the photo's files, below it.

    Raises:
        OutputError: the server cannot be asked.
    """
    folders, _, name = stem.rpartition("/")
    files = RemoteFiles(RemoteFolder(f"{out.rstrip('/')}/{folders}"), name)
    files.clean_up()
    yield files
