"""The folder of a run: what was run, on what and with what, so that it can be resumed, compared and made again.

run.json        the settings, and when and with which versions it was worked on; written before the first photo
images.jsonl    one line per finished photo, see `pnpovss.files.journal`
summary.json    the scores, made anew from the records whenever the run is started
maps/           with --save-maps: a class map per photo

Only one process works on a folder at a time: the journal is locked before anything is written.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pnpovss.errors import ConfigError, InvalidInputError, OutputError
from pnpovss.evaluation.runs.records import checker
from pnpovss.evaluation.runs.session import Session
from pnpovss.evaluation.runs.settings import FORMAT, RunSettings
from pnpovss.files.journal import Journal, Record, read_journal
from pnpovss.files.json import from_json, to_json
from pnpovss.files.writing import write_all

__all__ = ["Run", "begin_session", "make_folder", "open_run", "read_run", "read_summary", "write_summary"]

SETTINGS, RECORDS, SUMMARY, MAPS = "run.json", "images.jsonl", "summary.json", "maps"
_SEVERAL = frozenset({"data", "variants", "classes"})  # settings whose names are plural


class _AnyFormat(BaseModel):
    """What run.json holds in every version."""

    format: int


class _RunFile(RunSettings):
    """What run.json holds."""

    root: str
    sessions: tuple[Session, ...]


@dataclass(frozen=True)
class Run:
    """A run's folder, read.

    Attributes:
        folder: where it is.
        settings: what was run.
        root: the data set's folder at the time.
        sessions: each time it was worked on.
        records: finished photos by key.
    """

    folder: Path
    settings: RunSettings
    root: Path
    sessions: tuple[Session, ...]
    records: dict[str, Record]

    @property
    def finished(self) -> bool:
        """Whether every photo has its record."""
        return len(self.records) >= self.settings.subset.images


@contextmanager
def open_run(folder: Path, settings: RunSettings, keys: Collection[str]) -> Iterator[Journal]:
    """Start a run in a new or empty folder, or resume the one that is there; gives its records, locked.

    The settings are written by `begin_session`: a run that is refused before it measures anything binds nobody to them.

    Args:
        folder: of the run.
        settings: must be those of the run that is there.
        keys: of all photos of the run; a record of another photo is refused.

    Raises:
        ConfigError: the folder holds a run with other settings (the first difference is named), or other things.
        InvalidInputError: its run.json is damaged.
        OutputError: it cannot be written, another process works on it, or its records are damaged or foreign.
    """
    make_folder(folder)
    _refuse_other(folder, settings)
    with Journal(folder / RECORDS, keys=keys, check=checker(settings)) as journal:
        _refuse_other(folder, settings)  # again, now that nobody else can begin one here
        for leftover in folder.glob(".pnpovss-*.part"):  # of a run that was killed while it wrote
            leftover.unlink(missing_ok=True)
        yield journal


def begin_session(folder: Path, settings: RunSettings, root: Path, begun: Session) -> None:
    """Note in the folder of an open run that it is worked on, and with what.

    Args:
        folder: of the run.
        settings: of the run.
        root: the data set's folder; that of the first session is kept.
        begun: the session.
    """
    sessions, where = (begun,), str(root.resolve())
    if (folder / SETTINGS).exists():
        there = _read_settings(folder)
        sessions, where = (*there.sessions, begun), there.root
    write_all(
        {
            folder / SETTINGS: _RunFile(**dict(settings), root=where, sessions=sessions)
            .model_dump_json(indent=1)
            .encode()
        }
    )


def make_folder(folder: Path) -> None:
    """Make a folder, with its parents, if it is not there; it can then be read and written.

    Raises:
        OutputError: the system does not let us.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{str(folder)[:200]!r} cannot be made a folder: {reason}; name another one") from error
    mine = os.access in os.supports_effective_ids
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=mine):
        raise OutputError(f"{folder} may not be read and written by this user; change its permissions, or name another")


def read_run(folder: Path) -> Run:
    """Read a run's folder, finished or not.

    Raises:
        InvalidInputError: it holds no run, or one that is damaged or of another format.
        OutputError: its records are damaged.
    """
    found = _read_settings(folder)
    settings = RunSettings.model_validate(found.model_dump(exclude={"root", "sessions"}))
    records = read_journal(folder / RECORDS, check=checker(settings))
    return Run(folder, settings, Path(found.root), found.sessions, records)


def read_summary(folder: Path) -> dict[str, Any]:
    """What summary.json holds; nothing where it is missing or damaged, since it can be made anew."""
    try:
        found = from_json((folder / SUMMARY).read_bytes())
    except (OSError, InvalidInputError):
        return {}
    return found if isinstance(found, dict) else {}


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write summary.json, wholly or not at all."""
    write_all({folder / SUMMARY: to_json(summary, indent=1)})


def _read_settings(folder: Path) -> _RunFile:
    path = folder / SETTINGS
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidInputError(f"{folder} holds no run: {SETTINGS} is missing") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        if (written := _AnyFormat.model_validate_json(content).format) != FORMAT:
            raise InvalidInputError(
                f"{path} has format {written}, this version reads {FORMAT}; run it again in a new folder"
            )
        return _RunFile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise InvalidInputError(
            f"{path} is damaged or of another version ({where}: {first['msg']}); without it nobody knows what the "
            "records were measured with, so restore the file from a copy, or run again in a new folder"
        ) from error


def _refuse_other(folder: Path, asked: RunSettings) -> None:
    """Refuse a folder that holds another run, or no run but something else."""
    if not (folder / SETTINGS).exists():
        if foreign := [path.name for path in folder.iterdir() if not _is_leftover(path)]:
            raise ConfigError(f"{folder} is not empty and holds no run (but {foreign[0]}); name a new folder")
        return
    there = _read_settings(folder)
    for name in RunSettings.model_fields:
        old, new = getattr(there, name), getattr(asked, name)
        if old != new:
            raise ConfigError(
                f"{folder} holds a run with {'other' if name in _SEVERAL else 'another'} {name} "
                f"({_difference(old, new)}); a run is resumed with the same settings and data only, so name a new "
                "folder"
            )


def _is_leftover(path: Path) -> bool:
    """Whether a file is what a run leaves that was killed before it wrote its settings."""
    if path.name == RECORDS:
        return path.stat().st_size == 0
    return path.name.startswith(".pnpovss-") and path.suffix == ".part"


def _difference(old: object, new: object) -> str:
    """What differs between two settings, down to the field."""
    if isinstance(old, BaseModel) and isinstance(new, BaseModel):
        fields = [name for name in type(old).model_fields if getattr(old, name) != getattr(new, name)]
        return ", ".join(f"{name}: {_told(getattr(old, name), getattr(new, name))}" for name in fields[:3])
    return _told(old, new)


def _told(old: object, new: object) -> str:
    """Two values that differ; of two lists of one length, the first two entries that do."""
    if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        old, new = next(pair for pair in zip(old, new, strict=True) if pair[0] != pair[1])
    return f"{str(old)[:80]} there, {str(new)[:80]} asked"
