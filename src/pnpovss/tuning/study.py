"""An Optuna study whose trials are slots: each is run once, whoever runs it and whatever is killed meanwhile.

All slots are put into the study when it is made. A process takes the next one that waits, and writes its name on it; a
slot whose process is dead (see `workers`) waits again, as it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pnpovss.errors import MissingExtraError
from pnpovss.files.lock import locked
from pnpovss.tuning.space import Parameter
from pnpovss.tuning.storage import PATIENCE, lock_of, open_study
from pnpovss.tuning.workers import Watch, beating, worker, workers

__all__ = ["SLOT", "SlotStudy", "joined", "require_optuna", "slots"]

SLOT, _WORKER = "slot", "worker"


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


@contextmanager
def joined(
    folder: Path, storage: str, planned: Sequence[Mapping[str, Any]], name: str, seed: int = 0
) -> Iterator["SlotStudy"]:
    """Take part in a study, which is made by whoever comes first.

    Args:
        folder: of the tuning.
        storage: "sqlite" or "journal", in the folder, or the URL of a database that several hosts share.
        planned: what each slot fixes; see `slots`.
        name: of the study, the same for all who are to work on it, and in a shared database for nobody else.
        seed: of the sampler.

    Raises:
        ConfigError: no place for a study.
        OutputError: the database cannot be used, or another process blocks it for minutes.
    """
    optuna = require_optuna()
    hosts = "://" in storage
    with worker(folder) as own:
        lock, for_all = lock_of(folder, storage)
        with locked(lock, patience=PATIENCE):  # each draws by a seed of its own: no two should draw the same choices
            study = open_study(optuna, folder, storage, name, seed + 1000 * (workers(folder) - 1))
        with beating(study, own) if hosts else nullcontext():
            yield SlotStudy(study, planned, own, Watch(folder, hosts=hosts, one_lock=for_all), lock)


class SlotStudy:
    """A process's part in a study.

    Attributes:
        study: Optuna's.
        planned: what each slot fixes.
    """

    def __init__(self, study: Any, planned: Sequence[Mapping[str, Any]], own: str, watch: Watch, lock: Path) -> None:
        self.study, self.planned = study, planned
        self._own, self._watch, self._lock = own, watch, lock
        self._states = require_optuna().trial.TrialState

    @property
    def finished(self) -> dict[int, Any]:
        """The finished trial of each slot, complete or pruned; the first, should several hosts have run one."""
        done: dict[int, Any] = {}
        for trial in self._trials(self._states.COMPLETE, self._states.PRUNED):
            done.setdefault(trial.user_attrs[SLOT], trial)
        return dict(sorted(done.items()))

    @property
    def is_finished(self) -> bool:
        """Whether all slots are."""
        return len(self.finished) == len(self.planned)

    def next_trial(self) -> Any:
        """The next slot that waits, now taken by this process; None where none waits.

        The lock is held meanwhile: SQLite may give one waiting slot to two processes, and who puts back the slots of
        the dead must not see a slot that is taken before it bears the name of who took it.
        """
        with locked(self._lock, patience=PATIENCE):
            self._put_in()
            while self._trials(self._states.WAITING):
                trial = self.study.ask()
                if SLOT in trial.user_attrs and not self._is_taken(trial):
                    trial.set_user_attr(_WORKER, self._own)
                    return trial
                self.study.tell(trial, state=self._states.FAIL)  # another host was there first
        return None

    def _put_in(self) -> None:
        """Put in the slots that are not there, and those of the dead with what was drawn for them before they died."""
        last: dict[int, Any] = {}
        there: set[int] = set()
        for trial in self._trials():
            if (slot := trial.user_attrs.get(SLOT)) is None:
                continue
            runs, name = trial.state == self._states.RUNNING, trial.user_attrs.get(_WORKER)
            dead = runs and not self._watch.lives(self.study, trial, name)
            if dead:
                self.study.tell(trial.number, state=self._states.FAIL, skip_if_finished=True)
            if dead or trial.state == self._states.FAIL:
                last[slot] = trial
            else:
                there.add(slot)
        for slot, values in enumerate(self.planned):
            if slot not in there:
                drawn = last[slot].params if slot in last else {}
                self.study.enqueue_trial({**drawn, **values}, user_attrs={SLOT: slot})

    def _is_taken(self, trial: Any) -> bool:
        """Whether the slot of a trial is finished, or run by somebody else."""
        others = self._trials(self._states.COMPLETE, self._states.PRUNED, self._states.RUNNING)
        own = trial.user_attrs[SLOT]
        return any(each.number != trial.number and each.user_attrs.get(SLOT) == own for each in others)

    def _trials(self, *states: Any) -> list[Any]:
        """Those of these states, or all, by number."""
        return sorted(self.study.get_trials(deepcopy=False, states=states or None), key=lambda trial: trial.number)
