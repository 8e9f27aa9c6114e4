"""What holds for the files of one photo, wherever they lie: which are whole, which are ours, what is never replaced."""

import json
import posixpath
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from pnpovss.batch.folder import Folder
from pnpovss.errors import OutputError

__all__ = ["FAILURE", "RECORD", "PhotoFiles", "beside", "checksum", "parse_failure", "parse_record", "photo_at"]

RECORD = ".json"  # what follows the stem in the name of the record
FAILURE = ".failed"  # in that of the note of a failure; no file of a set ends so
_OURS = "pnpovss/"  # how the format of every record and note begins


def checksum(content: bytes) -> str:
    """As records hold it: SHA-256 in hexadecimal digits."""
    return sha256(content).hexdigest()


def beside(stem: str, name: str) -> str:
    """The path of a file in the folder of a stem."""
    return posixpath.join(posixpath.dirname(stem), name)


def parse_record(content: bytes | None) -> dict[str, Any] | None:
    """A record that this program wrote; None where it is none."""
    return _parsed(content, "files")


def parse_failure(content: bytes | None) -> dict[str, Any] | None:
    """The note of a failure that this program wrote; None where it is none."""
    return _parsed(content, "error")


def photo_at(stem: str, folder: Folder) -> str | None:
    """The photo whose record, or note of a failure, is at a stem below a folder; None where none can be read."""
    with suppress(OutputError):
        told = parse_record(folder.read(f"{stem}{RECORD}")) or parse_failure(folder.read(f"{stem}{FAILURE}"))
        return told["photo"] if told else None
    return None


def _parsed(content: bytes | None, field: str) -> dict[str, Any] | None:
    try:
        told = json.loads(content or b"")
        return told if str(told["format"]).startswith(_OURS) and told["photo"] and told[field] else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class PhotoFiles:
    """The files of one photo, as they are and as they are to be.

    Attributes:
        name: what their names begin with.
        record: the record that is there, of a complete set; None without one.
    """

    name: str
    record: dict[str, Any] | None

    def read(self, name: str) -> bytes | None:
        """The content of a file in their folder; None where there is none."""
        raise NotImplementedError

    def exists(self, name: str) -> bool:
        """Whether a file is in their folder."""
        raise NotImplementedError

    def shown(self, name: str) -> str:
        """A file in their folder, as messages name it."""
        raise NotImplementedError

    def replace(self, contents: Mapping[str, bytes], record: bytes) -> None:
        """Put a new set in the place of whatever is there; the note of a failure goes.

        Args:
            contents: of the files, by what follows the photo's name in theirs.
            record: the record, which names all of them.

        Raises:
            OutputError: no permission, no space left, or whatever else the system says.
        """
        raise NotImplementedError

    def put_note(self, note: bytes) -> None:
        """Write the note of a failure.

        Raises:
            OutputError: as `replace`.
        """
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Remove a file from their folder, if it is there.

        Raises:
            OutputError: as `replace`.
        """
        raise NotImplementedError

    def put_record(self, record: bytes) -> None:
        """Write the record of the set that is there anew.

        Raises:
            OutputError: as `replace`.
        """
        raise NotImplementedError

    @property
    def failure(self) -> dict[str, Any] | None:
        """The note of a failure that is there."""
        return parse_failure(self.read(f"{self.name}{FAILURE}"))

    def note_failure(self, note: bytes) -> None:
        """Write down why the photo could not be segmented; the set, and a file of that name that is not ours, stay.

        Raises:
            OutputError: as `replace`.
        """
        if not self.exists(f"{self.name}{FAILURE}") or self.failure:
            self.put_note(note)

    def forget_failure(self) -> None:
        """Remove the note of a failure, if one is there.

        Raises:
            OutputError: as `replace`.
        """
        if self.failure:
            self.remove(f"{self.name}{FAILURE}")

    def is_complete(self) -> bool:
        """Whether a record is there, and each file that it names."""
        return self.record is not None and all(self.exists(file["file"]) for file in self.record["files"])

    def refuse_foreign(self, suffixes: Iterable[str], photo: str, content: str) -> None:
        """Refuse to replace what was made from another photo, what others made, and what was changed by hand.

        Args:
            suffixes: of all files that may be written.
            photo: the photo at hand, as records hold it.
            content: its checksum; a photo that was moved is the same, and so is one that was edited in its place.

        Raises:
            OutputError: some file is there and may not be replaced.
        """
        names = [*(f"{self.name}{suffix}" for suffix in suffixes), f"{self.name}{RECORD}"]
        there = [name for name in names if self.exists(name)]
        way_out = "choose another --out, or replace it with --overwrite"
        same = self.record and (self.record["photo"] == photo or self.record.get("photo_sha256") == content)
        if there and not same:
            whose = f"made from {self.record['photo']}" if self.record else "not made by this program"
            raise OutputError(f"{self.shown(there[0])} exists and was {whose}; {way_out}")
        for file in self.record["files"] if self.record else ():
            if file["file"] in there and not self._is_unchanged(file["file"], file["sha256"]):
                raise OutputError(f"{self.shown(file['file'])} was changed since it was made; {way_out}")

    def own_files(self) -> set[str]:
        """Names of the files of the set that is there, except what was changed since."""
        files = self.record["files"] if self.record else ()
        return {file["file"] for file in files if self._is_unchanged(file["file"], file["sha256"])}

    def _is_unchanged(self, name: str, digest: str) -> bool:
        content = self.read(name)
        return content is not None and checksum(content) == digest
