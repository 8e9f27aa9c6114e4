"""Where a study is kept: a file in the folder of the tuning, or a database that several hosts share."""

import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pnpovss.errors import ConfigError, OutputError
from pnpovss.files.lock import locked

__all__ = ["PATIENCE", "check_storage", "lock_of", "open_study"]

PATIENCE = 120.0  # seconds that another process may take to put the slots in
_LEAST = 10  # photos before the paired test may give a trial up


def open_study(optuna: Any, folder: Path, storage: str, name: str, seed: int) -> Any:
    """The study, made or found.

    Args:
        optuna: the package.
        folder: of the tuning.
        storage: "sqlite" or "journal", in the folder, or the URL of a database.
        name: of the study.
        seed: of this process's sampler.

    Raises:
        OutputError: the database cannot be used.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return optuna.create_study(
                storage=_storage(optuna, folder, storage),
                study_name=name,
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
                pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.05, n_startup_steps=_LEAST),
            )
        except (ImportError, *_database_errors()) as error:
            raise OutputError(f"the study cannot be kept in {storage}: {str(error).splitlines()[0]}") from error


def _database_errors() -> tuple[type[Exception], ...]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return (StorageInternalError, SQLAlchemyError)


def _storage(optuna: Any, folder: Path, storage: str) -> Any:
    if storage == "journal":
        path = folder / "study.journal"
        held = _Lock(path.with_suffix(".journal.lock"))  # Optuna's own locks outlive a killed process by half a minute
        backend = optuna.storages.journal.JournalFileBackend(str(path), lock_obj=held)
        return optuna.storages.JournalStorage(backend)
    url = _url(folder, storage)
    waits = {"connect_args": {"timeout": PATIENCE}} if url.startswith("sqlite") else {}
    return optuna.storages.RDBStorage(url, engine_kwargs=waits)


def _url(folder: Path, storage: str) -> str:
    return f"sqlite:///{(folder / 'study.db').resolve()}" if storage == "sqlite" else storage


def check_storage(storage: str) -> None:
    """Refuse what is no place for a study, before hours of work.

    Raises:
        ConfigError: neither "sqlite" nor "journal" nor a URL.
    """
    if storage not in ("sqlite", "journal"):
        _parsed(storage)


def lock_of(folder: Path, storage: str) -> tuple[Path, bool]:
    """The lock of those who put slots in and take them, and whether it is one for all who share the study.

    It lies beside the database where that is a file. Of a server, each folder has a lock of its own.

    Raises:
        ConfigError: see `check_storage`.
    """
    if storage == "journal":
        return folder / "study.lock", True
    url = _parsed(_url(folder, storage))
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(f"{url.database}.lock"), True
    return folder / "study.lock", False


def _parsed(storage: str) -> Any:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(storage)
    except ArgumentError as error:
        raise ConfigError(f"a study is kept in sqlite, journal or a database's URL, got {storage!r}") from error


class _Lock:
    """A lock as Optuna's journal wants it, which the system drops with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: AbstractContextManager[None] | None = None

    def acquire(self) -> bool:
        """Wait until it is free, and take it."""
        self._held = locked(self._path, patience=PATIENCE)
        self._held.__enter__()
        return True

    def release(self) -> None:
        """Give it up."""
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None
