"""Several processes for one job: the same files as one process writes, whatever becomes of the processes."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch  # noqa: F401  # forked processes find it here, instead of importing it each
from PIL import Image

from pnpovss.batch.crew import Alone, crew_for
from pnpovss.batch.events import Skipped, Task
from pnpovss.batch.job import Begun, Job
from pnpovss.batch.model import ModelChoice
from pnpovss.batch.photo_files import PhotoFiles
from pnpovss.batch.pipeline import overlapped
from pnpovss.batch.recipe import FilterChoice, Recipe
from pnpovss.batch.workers import Workers, can_share, received, threads_for
from pnpovss.errors import MissingExtraError, ModelError, NamesError
from pnpovss.names import Name

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FAST = ("--model", "fake", "--without", "dropout,blur,crf")
PROGRAM = (sys.executable, "-m", "tests.support.program")


def start(photos: Path, out: Path, *options: object, program: tuple[str, ...] = PROGRAM) -> "subprocess.Popen[str]":
    call = [*program, "segment", photos, "-r", "--names", "red, blue", "--out", out, *options]
    return subprocess.Popen(list(map(str, call)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def run(photos: Path, out: Path, *options: object) -> tuple[int, str, str]:
    process = start(photos, out, *options)
    stdout, stderr = process.communicate(timeout=280)
    return process.returncode, stdout, stderr


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def whole(out: Path) -> int:
    records = list(out.rglob("*.json"))
    for record in records:
        for file in json.loads(record.read_text())["files"]:
            assert hashlib.sha256((record.parent / file["file"]).read_bytes()).hexdigest() == file["sha256"]
    return len(records)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 photos in 6 folders, all different, and a broken one."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(60):
        place = folder / f"{i // 10}" / f"{i % 10}.png"
        place.parent.mkdir(exist_ok=True)
        pixels = np.zeros((128, 128, 3), np.uint8)
        pixels[:, : rng.integers(30, 98), 0], pixels[rng.integers(30, 98) :, :, 2] = 255, 200
        Image.fromarray(pixels).save(place)
    (folder / "0" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("alone")
    code, _, said = run(photos, out, *FAST)
    assert code == 1, said
    return tree(out)


def test_many_write_what_one_writes(photos: Path, expected: dict[str, bytes], tmp_path: Path):
    code, stdout, said = run(photos, tmp_path / "out", *FAST, "--workers", 3, "--json", "-")
    assert code == 1, said
    assert "60 photos done, 1 failed" in said
    assert tree(tmp_path / "out") == expected
    told = json.loads(stdout)
    assert len(told["results"]) == 60
    assert [Path(failure["photo"]).name for failure in told["failures"]] == ["broken.jpg"]
    code, _, said = run(photos, tmp_path / "out", *FAST, "--workers", 2)
    assert "0 photos done, 60 finished before, 1 failed" in said


@pytest.fixture
def unshared(tmp_path: Path) -> tuple[str, ...]:
    """The program, whose processes load a model each."""
    guarded = tmp_path / "program.py"
    guarded.write_text(
        "if __name__ == '__main__':\n"
        "    from pnpovss.batch import crew\n"
        "    from pnpovss.cli.main import run\n"
        "    crew.can_share = lambda device: False\n"
        "    run()\n"
    )
    return sys.executable, str(guarded)


def test_processes_that_load_their_own_model_write_the_same(
    tmp_path: Path, unshared: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    """As on devices whose memory processes do not share; the real model, on real photos.

    Each process has one thread, as the one that is alone: with more, sums round differently.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("cat.jpg", "coffee.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        with Image.open(EXAMPLES / name) as image:
            image.resize((160, 120)).save(tmp_path / "in" / name)
    for out, options in (("one", ()), ("two", ("--devices", "cpu,cpu"))):
        process = start(tmp_path / "in", tmp_path / out, *options, program=unshared)
        _, said = process.communicate(timeout=280)
        assert process.returncode == 0, said
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_model_that_no_process_can_load_is_told_once(photos: Path, tmp_path: Path, unshared: tuple[str, ...]):
    process = start(photos, tmp_path / "out", "--model", "none such", "--devices", "cpu,cpu", program=unshared)
    _, said = process.communicate(timeout=280)
    assert process.returncode == 2
    [line] = said.splitlines()
    assert line.startswith("error: no backbone knows the model 'none such'")
    assert tree(tmp_path / "out") == {}


class Skipping(Job):
    """Has nothing to do; "deadly" ends the process that first meets it, and no process can be made from then on."""

    def begin(self, task: Task) -> Skipped:
        died = Path(self.out) / "died"
        if task.stem == "deadly" and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Skipped(task, {})


def workers_that_cannot_be_replaced(folder: Path, count: int) -> Workers:
    def make() -> Job:
        if (folder / "died").exists():
            raise ModelError("it was removed")
        return Skipping(None, (), folder)  # type: ignore[arg-type]

    return Workers([make] * count, 1, share=True)


forks = pytest.mark.skipif(not can_share("cpu"), reason="processes are not forked on this system")


@forks
def test_where_a_process_cannot_be_replaced_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tasks = [Task("x.jpg", stem) for stem in ("a", "b", "deadly", *"cdefghijklmnopqrst")]
    with workers_that_cannot_be_replaced(tmp_path, 2) as workers:
        outcomes = list(workers.run_all(tasks))
    assert {type(outcome) for outcome in outcomes} == {Skipped}
    assert sorted(outcome.task.stem for outcome in outcomes) == sorted(task.stem for task in tasks)
    assert "a process that ended cannot be replaced; the others go on: it was removed" in caplog.messages


@forks
def test_where_the_last_process_cannot_be_replaced_the_run_ends(tmp_path: Path):
    with (
        workers_that_cannot_be_replaced(tmp_path, 1) as workers,
        pytest.raises(ModelError, match="it was removed"),
    ):
        list(workers.run_all([Task("x.jpg", "deadly")]))


class OfTwoParts(Exception):
    """Python cannot make it anew in another process, from its message alone."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def ends() -> Job:
    os._exit(3)


def lacks_an_extra() -> Job:
    raise MissingExtraError("this model", "blip")


def fails_as_foreign_ones_do() -> Job:
    raise OfTwoParts("this", "that")


@forks
@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (ends, ModelError, r"a process ended while it loaded the model \(exit code 3\); fewer --workers"),
        (lacks_an_extra, MissingExtraError, r"this model needs an optional package: .*\[blip\]"),
        (fails_as_foreign_ones_do, RuntimeError, "OfTwoParts: this and that"),
    ],
)
def test_what_keeps_a_process_from_beginning_is_raised_here(make: Callable[[], Job], kind: type[Exception], text: str):
    job = Skipping(None, (), Path("out"))  # type: ignore[arg-type]
    with pytest.raises(kind, match=text):
        Workers([lambda: job, make], 1, share=True)
    assert not multiprocessing.active_children()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch):
    """Photos take a moment longer in the program, so that it can be met at work."""
    monkeypatch.setenv("PNPOVSS_TEST_PAUSE", "0.1")


def test_a_worker_that_is_killed_costs_nothing(
    photos: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PNPOVSS_TEST_PAUSE", "0.3")
    process, chance = start(photos, tmp_path / "out", *FAST, "--workers", 2), random.Random(0)
    for done in (3, 15, 30):
        while len(list((tmp_path / "out").rglob("*.json"))) < done and process.poll() is None:
            time.sleep(0.02)
        chance.choice(psutil.Process(process.pid).children()).kill()
    _, said = process.communicate(timeout=280)
    assert process.returncode == 1, said
    assert "a process ended (killed by SIGKILL, as when memory runs out); its photos are tried again" in said
    assert "60 photos done" in said or "finished before" in said
    assert tree(tmp_path / "out") == expected


@pytest.mark.usefixtures("slow")
def test_a_photo_that_ends_its_process_each_time_fails_alone(photos: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PNPOVSS_TEST_DEADLY", "3.png")
    code, _, said = run(photos / "1", tmp_path / "out", *FAST, "--workers", 2)
    assert code == 1
    assert "9 photos done, 1 failed" in said
    assert "3.png: the process at work on it ended 2 times (killed by SIGKILL, as when memory runs out)" in said
    assert whole(tmp_path / "out") == 9
    monkeypatch.delenv("PNPOVSS_TEST_DEADLY")
    _, _, said = run(photos / "1", tmp_path / "out", *FAST, "--workers", 2)
    assert "0 photos done, 9 finished before, 1 failed" in said
    assert "3.png: the process at work on it ended 2 times" in said
    assert "failed before" in said
    code, _, said = run(photos / "1", tmp_path / "out", *FAST, "--workers", 2, "--retry-failed")
    assert code == 0, said
    assert len(tree(tmp_path / "out")) == 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(
    photos: Path, expected: dict[str, bytes], tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PNPOVSS_TEST_PAUSE", "0.3")
    process = start(photos, tmp_path / "out", *FAST, "--workers", 2)
    while len(list((tmp_path / "out").rglob("*.json"))) < 5 and process.poll() is None:
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert 5 <= whole(tmp_path / "out") < 60
    monkeypatch.delenv("PNPOVSS_TEST_PAUSE")
    code, _, said = run(photos, tmp_path / "out", *FAST, "--workers", 2)
    assert code == 1
    assert tree(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("slow")
def test_killed_thirty_times_parent_or_worker(photos: Path, expected: dict[str, bytes], tmp_path: Path):
    chance, out, kills = random.Random(30), tmp_path / "out", 0
    while kills < 30:
        process, before = start(photos, out, *FAST, "--workers", 2), len(list(out.rglob("*.json")))
        while len(list(out.rglob("*.json"))) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.1)
        if process.poll() is not None:  # all is done: there was nobody to kill, so begin again
            process.communicate()
            shutil.rmtree(out)
            continue
        parent, kills = psutil.Process(process.pid), kills + 1
        workers = parent.children()
        victim = parent if kills % 2 == 0 or not workers else chance.choice(workers)
        victim.kill()
        time.sleep(0.1)
        process.kill()
        process.communicate()
        psutil.wait_procs(workers, timeout=60)
        whole(out)
    assert run(photos, out, *FAST, "--workers", 2)[0] == 1
    assert tree(out) == expected


class Unreadable(Job):
    """Finds out that the model cannot read the names while the next photo is waited for."""

    def begin(self, task: Task) -> Begun:
        return Begun(task, ExitStack(), PhotoFiles(), "", Image.new("RGB", (1, 1)), (), None)

    def look(self, begun: Begun) -> Begun:
        time.sleep(0.3)
        raise NamesError("too long")


@pytest.mark.timeout(60)
def test_names_that_the_model_cannot_read_end_a_worker_that_waits_for_more():
    ours, theirs = multiprocessing.Pipe()
    stopped = threading.Event()
    ours.send(Task("a.jpg", "a"))  # and nothing more, not even that there is nothing more
    job = Unreadable(None, (), Path("out"))  # type: ignore[arg-type]
    with pytest.raises(NamesError, match="too long"):
        list(overlapped(job, received(theirs, stopped), stopped.set))


@pytest.mark.parametrize(("workers", "devices"), [(3, ()), (1, ("cpu", "cpu"))])
def test_one_photo_needs_no_processes(workers: int, devices: tuple[str, ...]):
    recipe = Recipe(ModelChoice("mini"), (Name("cat"),), Path("out"), (), FilterChoice(), False, False, False, 1)
    with crew_for(recipe, photos=1, workers=workers, devices=devices) as crew:
        assert isinstance(crew, Alone)


def test_threads_share_the_cores_and_obey_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_for(workers) for workers in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [threads_for(workers) for workers in (1, 2, 4)] == [3, 3, 2]
