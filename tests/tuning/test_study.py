"""Slots of a study that are each run once, whoever runs them, on one host or on several, and whatever is killed."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pnpovss.errors import ConfigError, OutputError
from pnpovss.tuning import workers
from pnpovss.tuning.space import Parameter
from pnpovss.tuning.study import joined, slots

pytest.importorskip("optuna", reason="in the extra `tune`")

PARAMETERS = [Parameter("a", (1, 2, 3, 4, 5), 1), Parameter("b", (0.1, 0.2, 0.3, 0.4), 0)]
START = {"a": 2, "b": 0.1}
PLANNED = slots(PARAMETERS, START, 20)
STORAGES = ["sqlite", "journal", "url"]


def place(root: Path, storage: str) -> str:
    """A URL is that of a database outside the folder."""
    return f"sqlite:///{root}/shared.db" if storage == "url" else storage


def work(folder: Path, storage: str, pause: float, runs: Path) -> None:
    """Run whatever slots wait until all are finished; in a process of its own."""
    folder.mkdir(exist_ok=True)
    with joined(folder, storage, PLANNED, "study") as shared:
        while not shared.is_finished:
            while (trial := shared.next_trial()) is not None:
                values = {each.name: trial.suggest_categorical(each.name, list(each.values)) for each in PARAMETERS}
                with runs.open("a") as file:
                    file.write(f"{trial.user_attrs['slot']}\n")
                time.sleep(pause)
                shared.study.tell(trial, values["a"] + values["b"])
            time.sleep(0.05)


def started(folders: Sequence[Path], storage: str, pause: float, runs: Path) -> list[Any]:
    context = multiprocessing.get_context("fork")
    # Daemons: what a test that fails leaves at work ends with the tests.
    processes = [context.Process(target=work, args=(folder, storage, pause, runs), daemon=True) for folder in folders]
    for process in processes:
        process.start()
    return processes


def until(runs: Path, count: int) -> None:
    """Wait until so many slots were begun."""
    deadline = time.monotonic() + 60
    while not runs.exists() or len(runs.read_text().split()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def found(folder: Path, storage: str) -> dict[int, Any]:
    with joined(folder, storage, PLANNED, "study") as shared:
        assert shared.next_trial() is None
        return shared.finished


def check_all_are_there(done: dict[int, Any]) -> None:
    assert list(done) == list(range(20))
    assert {(each.params["a"], each.params["b"]) for each in done.values()} == {
        (a, b) for a in PARAMETERS[0].values for b in PARAMETERS[1].values
    }
    assert all(each.value == each.params["a"] + each.params["b"] for each in done.values())


@pytest.mark.parametrize("storage", STORAGES)
def test_two_processes_on_one_study_lose_no_slot_and_run_none_twice(tmp_path: Path, storage: str) -> None:
    folder, where, runs = tmp_path / "run", place(tmp_path, storage), tmp_path / "runs.txt"
    for process in started([folder, folder], where, 0.02, runs):
        process.join(120)
        assert process.exitcode == 0
    assert sorted(map(int, runs.read_text().split())) == list(range(20))
    check_all_are_there(found(folder, where))
    assert not list((folder / "workers").iterdir())


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_a_killed_search_finishes_every_slot_once(tmp_path: Path, storage: str, kills: int) -> None:
    folder, where, runs = tmp_path / "run", place(tmp_path, storage), tmp_path / "runs.txt"
    moments, killed = random.Random(3), 0
    while True:
        [process] = started([folder], where, 0.05, runs)
        process.join(moments.uniform(0.05, 0.8) if killed < kills else 120)
        if process.exitcode is not None:
            break
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += 1
    assert process.exitcode == 0
    check_all_are_there(found(folder, where))


def test_a_host_that_dies_leaves_its_slot_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BEAT", 0.1)
    monkeypatch.setattr(workers, "GRACE", 10.0)  # a busy machine may hold up signs of life for seconds
    where, runs = place(tmp_path, "url"), tmp_path / "runs.txt"
    [dying] = started([tmp_path / "one"], where, 600, runs)  # takes a slot, and is at it for long
    until(runs, 1)
    [other] = started([tmp_path / "two"], where, 0.02, runs)
    until(runs, 20)
    time.sleep(workers.GRACE + 1)
    assert len(runs.read_text().split()) == 20  # the first is left alone while it lives
    assert other.exitcode is None
    os.kill(dying.pid, signal.SIGKILL)
    other.join(120)
    assert other.exitcode == 0
    assert sorted(map(int, runs.read_text().split())) == [0, *range(20)]
    check_all_are_there(found(tmp_path / "two", where))


def test_what_was_put_back_half_is_put_back_whole(tmp_path: Path) -> None:
    """A process that is killed between the end of a dead trial and its slot's return."""
    with joined(tmp_path, "sqlite", PLANNED, "study") as shared:
        trial = shared.next_trial()
        shared.study.tell(trial, state=shared.study.trials[0].state.FAIL)
        assert shared.next_trial().user_attrs["slot"] == 1
        waiting = [each.user_attrs["slot"] for each in shared.study.trials if each.state.name == "WAITING"]
        assert sorted(waiting) == [0, *range(2, 20)]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_slot_whose_taker_died_before_it_wrote_its_name_is_free_at_once(tmp_path: Path, storage: str) -> None:
    where = place(tmp_path, storage)
    with joined(tmp_path, where, PLANNED, "study") as dying:
        first = dying.next_trial()
        dying.study.tell(first, 1.0)
        assert dying.study.ask().user_attrs["slot"] == 1  # taken, and no more
    with joined(tmp_path, where, PLANNED, "study") as other:
        taken = []
        while (trial := other.next_trial()) is not None:
            taken.append(trial.user_attrs["slot"])
            other.study.tell(trial, 1.0)
        assert sorted(taken) == list(range(1, 20))
        assert other.is_finished


def test_tunings_share_a_database_under_names_of_their_own(tmp_path: Path) -> None:
    where = place(tmp_path, "url")
    for name in ("one", "two"):
        with joined(tmp_path, where, PLANNED[:2], name) as shared:
            while (trial := shared.next_trial()) is not None:
                shared.study.tell(trial, 1.0)
            assert list(shared.finished) == [0, 1]


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("sqlit", "a study is kept in sqlite, journal or a database's URL, got 'sqlit'"),
        ("nosuchdatabase://host/base", "cannot be kept in nosuchdatabase"),
        ("sqlite:////nowhere/at/all.db", "cannot write /nowhere/at/all.db.lock: No such file"),
    ],
)
def test_a_place_that_is_none_is_named(tmp_path: Path, storage: str, said: str) -> None:
    with pytest.raises((ConfigError, OutputError), match=said), joined(tmp_path, storage, PLANNED, "study"):
        pass
