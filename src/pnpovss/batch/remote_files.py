"""The files of one photo on object storage: whole files alone, the record last; there are no locks.

A record that is there stands for a complete set, as on a disk: it goes first and comes last. Before the first file is
put, a claim (a small hidden object) says who writes, since when, and what is to come; who finds a claim of some age
without a record knows what a killed process left. Two runs that write to one place at a time do the same work twice:
the one that claims it last puts the record, and the other, which finds that out before it puts its own, fails there.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import time

from pnpovss.batch.photo_files import FAILURE, RECORD, PhotoFiles, checksum, parse_record
from pnpovss.errors import OutputError
from pnpovss.files.remote import RemoteFolder

__all__ = ["RemoteFiles", "claimed_remotely"]

_WRITING = 600  # a set is written in seconds; whose claim is older was killed, however clocks differ [s]


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
        """Remove what a killed process left, unless it came as far as the record, or may still be writing."""
        if self.record is not None:
            return
        _, since, names = self._claimed()
        if since is None or abs(time() - since) < _WRITING:
            return
        for name in names:
            self.folder.remove(name)
        self.folder.remove(self._claim)

    def refuse_foreign(self, suffixes: Iterable[str], photo: str, content: str) -> None:
        """See `PhotoFiles`; what another run is writing, or has written since, is of this program."""
        names = self._claimed()[2]  # before the record, which comes before the claim goes
        if self.record is None:
            self.record = parse_record(self.read(f"{self.name}{RECORD}"))
        others = (suffix for suffix in suffixes if f"{self.name}{suffix}" not in names)
        super().refuse_foreign(others, photo, content)

    def replace(self, contents: Mapping[str, bytes], record: bytes) -> None:
        """See `PhotoFiles`.

        Raises:
            OutputError: as there, or another run has claimed the files meanwhile.
        """
        names = [f"{self.name}{suffix}" for suffix in contents]
        stale = (self.own_files() | set(self._claimed()[2])) - set(names)
        token = secrets.token_hex(8)
        claim = {"by": token, "since": time(), "files": sorted({*names, *stale})}
        self.folder.put(self._claim, json.dumps(claim).encode())
        self.folder.remove(f"{self.name}{RECORD}")
        for name, content in zip(names, contents.values(), strict=True):
            self.folder.put(name, content)
        for name in sorted(stale):
            self.folder.remove(name)
        self.forget_failure()
        if self._claimed()[0] != token:
            raise OutputError(
                f"another run writes {self.shown(self.name)}{RECORD} at the same time, and goes on with it; "
                "when it has ended, run this again"
            )
        self.folder.put(f"{self.name}{RECORD}", record)
        self.folder.remove(self._claim)

    def _claimed(self) -> tuple[str, float | None, list[str]]:
        """Who writes, since when (seconds since 1970), and names of the files; empty, None and none without a claim."""
        try:
            told = json.loads(self.read(self._claim) or b"")
            return (told["by"], told["since"], told["files"]) if isinstance(told, dict) else ("", 0, told)
        except ValueError:
            return "", None, []

    def put_note(self, note: bytes) -> None:
        """See `PhotoFiles`."""
        self.folder.put(f"{self.name}{FAILURE}", note)

    def remove(self, name: str) -> None:
        """See `PhotoFiles`."""
        self.folder.remove(name)

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
