"""The photos of a run and where their results go, kept on the disk: memory does not grow with their number."""

import json
import sqlite3
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

from pnpovss.batch.events import Task
from pnpovss.batch.export.run import DECISIONS
from pnpovss.batch.folder import folder_at
from pnpovss.batch.naming import Photo, absolute, folded, stem_of
from pnpovss.batch.photo_files import RECORD, photo_at
from pnpovss.batch.sources import identity
from pnpovss.names import Name

__all__ = ["Worklist"]

_AT_ONCE = 1000  # rows that are read before others are written

_TABLE = """
CREATE TABLE photos (
    id INTEGER PRIMARY KEY, real BLOB UNIQUE, path BLOB, place BLOB, named INTEGER, names TEXT,
    level INTEGER, stem BLOB, folded BLOB, twin BLOB
)"""


class Worklist:
    """Photos in the order in which they were added, each once.

    They lie in a file that SQLite makes and removes by itself. Where two would have one stem, `tasks` tells them apart:
    see `stem_of`; one that has results there already keeps it.
    """

    def __init__(self, out: Path | str) -> None:
        """No photos yet.

        Args:
            out: the output folder, or its URL; it need not be there.
        """
        self._photo_at = lru_cache(1024)(partial(photo_at, folder=folder_at(out)))
        self._file = sqlite3.connect("", check_same_thread=False)  # one thread at a time reads it
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(_TABLE)
        self._settled = False

    def add(self, photo: Photo) -> bool:
        """Add a photo; False where it is there already, be it under another path."""
        stem = stem_of(photo, 0)
        row = (
            _bytes(identity(photo.path)),
            _bytes(photo.path),
            _bytes(photo.place),
            photo.named,
            None if photo.names is None else json.dumps([name.all for name in photo.names]),
            0,
            _bytes(stem),
            _bytes(folded(stem)),
            _bytes(folded(absolute(photo.path))),
        )
        added = self._file.execute("INSERT OR IGNORE INTO photos VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._settled &= not added.rowcount
        return bool(added.rowcount)

    def __len__(self) -> int:
        return self._file.execute("SELECT count(*) FROM photos").fetchone()[0]

    def __iter__(self) -> Iterator[Photo]:
        for row in self._file.execute("SELECT path, place, named, names FROM photos ORDER BY id"):
            yield _photo(*row)

    @property
    def all_bring_names(self) -> bool:
        """Whether there are photos, and each has names of its own."""
        without = self._file.execute("SELECT 1 FROM photos WHERE names IS NULL LIMIT 1").fetchone()
        return without is None and len(self) > 0

    def tasks(self) -> Iterator[Task]:
        """What is to be done, with a different stem for each photo."""
        self._settle()
        for path, names, stem in self._file.execute("SELECT path, names, stem FROM photos ORDER BY id"):
            yield Task(_text(path), _text(stem), _names(names))

    def _settle(self) -> None:
        """Raise the level of photos whose stems some disk takes for the same, or for our own, until there are none."""
        if self._settled:
            return
        self._file.execute("CREATE INDEX IF NOT EXISTS by_stem ON photos (folded)")
        self._file.execute("CREATE INDEX IF NOT EXISTS by_path ON photos (twin)")
        while self._tell_apart():
            pass
        self._settled = True

    def _tell_apart(self) -> bool:
        """Raise each clashing photo by one level, except whose results are there; whether there were others."""
        clashing = "SELECT folded FROM photos GROUP BY folded HAVING count(*) > 1 OR folded = ?"
        self._file.execute("DROP TABLE IF EXISTS clashes")
        self._file.execute(f"CREATE TABLE clashes AS SELECT id FROM photos WHERE folded IN ({clashing})", (_RESERVED,))
        raised, last, some = False, 0, f"SELECT id FROM clashes WHERE id > ? ORDER BY id LIMIT {_AT_ONCE}"
        while ids := [number for (number,) in self._file.execute(some, (last,))]:
            for number in ids:
                raised |= self._raise(number)
            last = ids[-1]
        return raised

    def _raise(self, number: int) -> bool:
        *row, level, twin, real, stem, same = self._file.execute(
            "SELECT path, place, named, names, level + 1, twin, real, stem, folded FROM photos WHERE id = ?", (number,)
        ).fetchone()
        if same != _RESERVED and self._photo_at(_text(stem)) == _text(real):
            return False
        [alike] = self._file.execute("SELECT count(*) FROM photos WHERE twin = ?", (twin,)).fetchone()
        stem = stem_of(_photo(*row), level, twin=alike > 1)
        change = (level, _bytes(stem), _bytes(folded(stem)), number)
        self._file.execute("UPDATE photos SET level = ?, stem = ?, folded = ? WHERE id = ?", change)
        return True


def _photo(path: bytes, place: bytes, named: int, names: str | None) -> Photo:
    return Photo(_text(path), _text(place), bool(named), _names(names))


@lru_cache(1024)
def _names(told: str | None) -> tuple[Name, ...] | None:
    """Names of a photo's own; many photos share theirs."""
    return None if told is None else tuple(Name(text, tuple(synonyms)) for text, *synonyms in json.loads(told))


def _bytes(text: str) -> bytes:
    """A path as the system has it: not all are text."""
    return text.encode("utf-8", "surrogatepass")


_RESERVED = _bytes(DECISIONS.removesuffix(RECORD))  # a photo's record would be in the place of the file of decisions


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
