"""An Optuna study whose trials are slots: each is run once, whoever runs it and whatever is killed meanwhile.

All slots are put into the study when it is made. A process takes the next one that waits, which the storage gives to
one process only; a slot whose process has died is put back as it was. A process holds a lock on a file of its own while
it lives, so that a death is seen at once, also after kill -9.
"""

import os
import secrets
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pnpovss.errors import MissingExtraError, OutputError
from pnpovss.files.lock import lock
from pnpovss.tuning.space import Parameter

__all__ = ["SLOT", "finished", "load_study", "next_trial", "require_optuna", "slots", "worker"]

SLOT, _WORKER = "slot", "worker"
_STUDY, _STUDY_LOCK = "pnpovss", "study.lock"
_PATIENCE = 120.0  # seconds that another process may take to make the study
_LEAST = 10  # photos before the paired test may give a trial up
_HEARTBEAT = 60  # seconds, for storages of several hosts


def require_optuna() -> Any:
    """The package, quiet.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import optuna
        import scipy  # noqa: F401  # the paired test wants it
    except ImportError as error:
        raise MissingExtraError("a search that needs the whole method", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def worker(folder: Path) -> Iterator[str]:
    """A name for this process, held by a lock for as long as it lives."""
    place = folder / "workers"
    place.mkdir(exist_ok=True)
    name = f"{secrets.token_hex(8)}.lock"
    with _locked(place / name):
        try:
            yield name
        finally:
            (place / name).unlink(missing_ok=True)


def load_study(
    folder: Path, storage: str, parameters: Sequence[Parameter], start: Mapping[str, Any], trials: int, seed: int
) -> Any:
    """The study, with all its slots, and those of dead processes waiting again.

    Args:
        folder: of the tuning; holds the lock that one process takes to make the study.
        storage: "sqlite" or "journal", in the folder, or the URL of a database that several hosts share.
        parameters: what is searched; where there are fewer choices than trials, each is a slot of its own.
        start: the values that the first slot tries: the settings as they are.
        trials: how many slots.
        seed: of the sampler.

    Raises:
        OutputError: another process makes it, and takes minutes.
    """
    optuna = require_optuna()
    planned = slots(parameters, start, trials)
    with _waiting(folder / _STUDY_LOCK):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                storage=_storage(optuna, folder, storage),
                study_name=_STUDY,
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(
                    seed=seed + 1000 * _others(folder), multivariate=True, constant_liar=True
                ),
                pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.05, n_startup_steps=_LEAST),
            )
        there = {trial.user_attrs[SLOT] for trial in study.get_trials(deepcopy=False) if SLOT in trial.user_attrs}
        for slot, values in enumerate(planned):
            if slot not in there:
                study.enqueue_trial(dict(values), user_attrs={SLOT: slot})
        if "://" not in storage:
            _revive(optuna, study, folder, planned)
    return study


def next_trial(study: Any, folder: Path, name: str) -> Any:
    """The next slot that waits, now taken by this process; None where none waits.

    The lock is that of `load_study`. SQLite may give one waiting slot to two processes, and who puts back the slots of
    the dead must not see a slot that is taken before it bears the name of who took it.

    Args:
        study: of `load_study`.
        folder: of the tuning.
        name: of this process; see `worker`.
    """
    optuna = require_optuna()
    with _waiting(folder / _STUDY_LOCK):
        while study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
            trial = study.ask()
            if SLOT in trial.user_attrs:
                trial.set_user_attr(_WORKER, name)
                return trial
            study.tell(trial, state=optuna.trial.TrialState.FAIL)  # another host took the last slot meanwhile
    return None


def finished(study: Any) -> dict[int, Any]:
    """The finished trial of each slot: complete, or pruned."""
    optuna = require_optuna()
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return {trial.user_attrs[SLOT]: trial for trial in study.get_trials(deepcopy=False, states=states)}


def slots(parameters: Sequence[Parameter], start: Mapping[str, Any], trials: int) -> list[Mapping[str, Any]]:
    """What each slot fixes: the first the settings as they are; all, where there are no more choices than trials."""
    choices = 1
    for parameter in parameters:
        choices *= len(parameter.values)
    if choices > trials:
        return [start, *({} for _ in range(trials - 1))]
    grid: list[dict[str, Any]] = [{}]
    for parameter in parameters:
        grid = [{**values, parameter.name: value} for values in grid for value in parameter.values]
    return [start, *(values for values in grid if values != start)]


def _others(folder: Path) -> int:
    """How many processes are at it: no two of them should draw the same choices."""
    return len(os.listdir(folder / "workers")) if (folder / "workers").exists() else 0


def _revive(optuna: Any, study: Any, folder: Path, planned: Sequence[Mapping[str, Any]]) -> None:
    """Put slots back whose process is dead, with what they fix and what was drawn for them before it died."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        owner = trial.user_attrs.get(_WORKER)
        if owner is None or not _lives(folder / "workers" / owner):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if (slot := trial.user_attrs.get(SLOT)) is not None:
                study.enqueue_trial({**trial.params, **planned[slot]}, user_attrs={SLOT: slot})


def _lives(path: Path) -> bool:
    """Whether the process that holds this lock is alive."""
    if not path.exists():
        return False
    try:
        with _locked(path):
            pass
    except OutputError:
        return True
    path.unlink(missing_ok=True)
    return False


def _storage(optuna: Any, folder: Path, storage: str) -> Any:
    if storage == "journal":
        path = folder / "study.journal"
        held = _Lock(path.with_suffix(".journal.lock"))  # Optuna's own locks outlive a killed process by half a minute
        backend = optuna.storages.journal.JournalFileBackend(str(path), lock_obj=held)
        return optuna.storages.JournalStorage(backend)
    if storage == "sqlite":
        url, options = f"sqlite:///{(folder / 'study.db').resolve()}", {"connect_args": {"timeout": 120}}
        return optuna.storages.RDBStorage(url, engine_kwargs=options)
    again = optuna.storages.RetryHeartbeatStaleTrialCallback()
    return optuna.storages.RDBStorage(storage, heartbeat_interval=_HEARTBEAT, heartbeat_stale_trial_callback=again)


class _Lock:
    """A lock as Optuna's journal wants it, which the system drops with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: AbstractContextManager[None] | None = None

    def acquire(self) -> bool:
        """Wait until it is free, and take it."""
        self._held = _waiting(self._path)
        self._held.__enter__()
        return True

    def release(self) -> None:
        """Give it up."""
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _waiting(path: Path) -> Iterator[None]:
    """The lock, however long another process takes to give it up, within reason."""
    descriptor, deadline = os.open(path, os.O_RDWR | os.O_CREAT, 0o644), time.monotonic() + _PATIENCE
    try:
        while True:
            try:
                lock(descriptor, path)
                break
            except OutputError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
