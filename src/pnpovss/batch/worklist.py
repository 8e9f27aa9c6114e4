"""The photos of a run and where their results go, kept on the disk: memory does not grow with their number."""

import json
import posixpath
import sqlite3
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pnpovss.batch.events import Task
from pnpovss.batch.export.run import DECISIONS
from pnpovss.batch.folder import folder_at
from pnpovss.batch.naming import Photo, absolute, folded, stem_of, stems_apart
from pnpovss.batch.photo_files import FAILURE, RECORD, photo_at
from pnpovss.batch.sources import identity
from pnpovss.names import Name

__all__ = ["Worklist"]

_AT_ONCE = 1000  # rows that are read before others are written

_TABLES = """
CREATE TABLE photos (
    id INTEGER PRIMARY KEY, real BLOB UNIQUE, path BLOB, place BLOB, named INTEGER, names TEXT,
    level INTEGER, stem BLOB, folded BLOB, twin BLOB
);
CREATE TABLE folders (path BLOB PRIMARY KEY);
CREATE TABLE apart (stem BLOB PRIMARY KEY);
"""


class Worklist:
    """Photos in the order in which they were added, each once.

    They lie in a file that SQLite makes and removes by itself. Where two would have one stem, `tasks` tells them apart:
    see `stem_of`; one that has results there already keeps it, also where what it was told apart from is gone.
    """

    def __init__(self, out: Path | str) -> None:
        """No photos yet.

        Args:
            out: the output folder, or its URL; it need not be there.
        """
        self._out = folder_at(out)
        self._photo_at = lru_cache(1024)(partial(photo_at, folder=self._out))
        self._file = sqlite3.connect("", check_same_thread=False)  # one thread at a time reads it
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.executescript(_TABLES)
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
        if self._list_results():
            self._find_again()
        self._file.execute("CREATE INDEX IF NOT EXISTS by_stem ON photos (folded)")
        self._file.execute("CREATE INDEX IF NOT EXISTS by_path ON photos (twin)")
        while self._tell_apart():
            pass
        self._settled = True

    def _list_results(self) -> bool:
        """List what the folders of stems hold of photos that may have been told apart; whether there is any."""
        for _, stem in self._in_turn("photos", "stem"):
            folder = posixpath.dirname(_text(stem))
            if self._file.execute("INSERT OR IGNORE INTO folders VALUES (?)", (_bytes(folder),)).rowcount:
                ours = (name for name in self._out.names(folder) if name.endswith((RECORD, FAILURE)))
                stems = (posixpath.join(folder, posixpath.splitext(name)[0]) for name in ours)
                apart = ((_bytes(stem),) for stem in stems if "." in posixpath.basename(stem))  # cat.jpg, in-cat.jpg
                self._file.executemany("INSERT OR IGNORE INTO apart VALUES (?)", apart)
        return self._file.execute("SELECT 1 FROM apart LIMIT 1").fetchone() is not None

    def _find_again(self) -> None:
        """Begin photos at the level that they have results at, where they have none at their own stem."""
        for number, *row, real, own in self._in_turn("photos", "path, place, named, names, real, stem"):
            for level, text in stems_apart(_photo(*row)):
                there = self._file.execute("SELECT 1 FROM apart WHERE stem = ?", (_bytes(text),)).fetchone()
                if there and self._photo_at(text) == _text(real) != self._photo_at(_text(own)):
                    self._place(number, level, text)
                    break

    def _in_turn(self, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """(id, the columns) of each row; rows may be written meanwhile."""
        some, last = f"SELECT id, {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT {_AT_ONCE}", 0
        while rows := self._file.execute(some, (last,)).fetchall():
            yield from rows
            last = rows[-1][0]

    def _tell_apart(self) -> bool:
        """Raise each clashing photo by one level, except whose results are there; whether there were others."""
        clashing = "SELECT folded FROM photos GROUP BY folded HAVING count(*) > 1 OR folded = ?"
        self._file.execute("DROP TABLE IF EXISTS clashes")
        self._file.execute(f"CREATE TABLE clashes AS SELECT id FROM photos WHERE folded IN ({clashing})", (_RESERVED,))
        raised = False
        for number, _ in self._in_turn("clashes", "id"):
            raised |= self._raise(number)
        return raised

    def _raise(self, number: int) -> bool:
        *row, level, twin, real, stem, same = self._file.execute(
            "SELECT path, place, named, names, level + 1, twin, real, stem, folded FROM photos WHERE id = ?", (number,)
        ).fetchone()
        if same != _RESERVED and self._photo_at(_text(stem)) == _text(real):
            return False
        [alike] = self._file.execute("SELECT count(*) FROM photos WHERE twin = ?", (twin,)).fetchone()
        self._place(number, level, stem_of(_photo(*row), level, twin=alike > 1))
        return True

    def _place(self, number: int, level: int, stem: str) -> None:
        change = (level, _bytes(stem), _bytes(folded(stem)), number)
        self._file.execute("UPDATE photos SET level = ?, stem = ?, folded = ? WHERE id = ?", change)


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
