"""A cluster of two nodes on one machine: the files of one process, also where actors and nodes end in the middle."""

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from pnpovss.batch.crew import Alone
from pnpovss.batch.events import Done, Failed, Outcome, Skipped, Task
from pnpovss.batch.model import ModelChoice
from pnpovss.batch.outputs import DEFAULT_OUTPUTS
from pnpovss.batch.ray_data import COLUMNS, Cluster
from pnpovss.batch.recipe import FilterChoice, Recipe
from pnpovss.images import MAX_PIXELS
from pnpovss.names import parse_names

pytestmark = [
    pytest.mark.extra("ray"),
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # Ray's own, of many kinds
]

COUNT = 120  # four batches


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """Two nodes, each of one core."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    nodes = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False},
    )
    nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no photo")
    tasks = [Task(str(folder / f"{i}.png"), f"{i % 7}/{i}") for i in range(COUNT)]
    tasks.insert(20, Task(str(folder / "broken.png"), "broken"))
    tasks[5] = Task(tasks[5].photo, tasks[5].stem, parse_names(["water", ["sofa", "couch"]]))
    return tasks


def recipe(out: Path, *, retry_failed: bool = False) -> Recipe:
    choice = ModelChoice(device="cpu", without=("views", "crf"))
    names = parse_names(["cat", "dog"])
    return Recipe(choice, names, out, DEFAULT_OUTPUTS, FilterChoice(), False, False, retry_failed, MAX_PIXELS)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def expected(tasks: list[Task], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """By one process with one thread, as each actor has: other numbers of threads sum in another order."""
    out, threads = tmp_path_factory.mktemp("alone"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        list(Alone(recipe(out).open()).run_all(tasks))
    finally:
        torch.set_num_threads(threads)
    return tree(out)


def run(
    cluster: object, tasks: list[Task], out: Path, records: Path | None = None, *, retry_failed: bool = False
) -> dict[str, Outcome]:
    job = recipe(out, retry_failed=retry_failed)
    with Cluster(job, cluster.address, 2, records) as crew:  # type: ignore[attr-defined]
        return {outcome.task.stem: outcome for outcome in crew.run_all(iter(tasks))}


def test_a_cluster_writes_what_one_process_writes(cluster, tasks, expected, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    odd = Task("in/\udcff.png", "\udcff")
    seen = run(cluster, [*tasks, odd], tmp_path / "out", tmp_path / "records.parquet")
    assert tree(tmp_path / "out") == expected
    assert set(seen) == {task.stem for task in [*tasks, odd]}
    kinds = [type(outcome) for outcome in seen.values()]
    assert (kinds.count(Done), kinds.count(Failed)) == (COUNT, 2)
    assert "its name is no text" in seen["\udcff"].error  # type: ignore[union-attr]
    rows = parquet.read_table(tmp_path / "records.parquet").to_pylist()
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == COUNT + 1
    for row in rows:
        if row["state"] == "done":
            assert json.loads(row["record"]) == json.loads((tmp_path / "out" / f"{row['stem']}.json").read_text())
    again = run(cluster, tasks, tmp_path / "out")
    assert sum(isinstance(outcome, Skipped) for outcome in again.values()) == COUNT
    assert "failed before" in again["broken"].error  # type: ignore[union-attr]
    assert tree(tmp_path / "out") == expected


def actors() -> list[psutil.Process]:
    """Of the cluster that this process started: another run may have one on the same machine."""
    own = {process.pid for process in psutil.Process().children(recursive=True)}
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid in own and "_Actor" in " ".join(process.info["cmdline"] or [])
    ]


def when_so_many_are_done(out: Path, count: int, act) -> Thread:
    def wait() -> None:
        while len(list(out.rglob("*.json"))) < count:
            time.sleep(0.02)
        act()

    thread = Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_an_actor_and_a_node_that_end_cost_nothing(cluster, tasks, expected, tmp_path: Path):
    out, killed = tmp_path / "out", []

    def kill() -> None:
        killed.extend(actors()[:1])
        for process in killed:
            process.kill()

    extra = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    threads = [
        when_so_many_are_done(out, 5, kill),
        when_so_many_are_done(out, 22, lambda: cluster.remove_node(extra, allow_graceful=False)),
    ]
    seen = run(cluster, tasks, out)
    for thread in threads:
        thread.join(10)
    assert killed
    assert set(seen) == {task.stem for task in tasks}
    assert tree(out) == expected


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_actors_that_are_killed_thirty_times_cost_nothing(cluster, tasks, expected, tmp_path: Path):
    """A photo at hand may meet two of the kills, and is given up then, as one that ends its process: it is retried."""
    out, chance, kills, ended = tmp_path / "out", random.Random(30), list[int](), Event()

    def kill() -> None:
        before = 0
        while len(kills) < 30 and not ended.is_set():
            if (done := len(list(out.rglob("*.json")))) > before and (there := actors()):
                time.sleep(chance.random() * 0.1)
                victim = chance.choice(there)
                victim.kill()
                kills.append(victim.pid)
                before = done
            time.sleep(0.02)

    while len(kills) < 30:
        shutil.rmtree(out, ignore_errors=True)
        ended.clear()
        thread = Thread(target=kill)
        thread.start()
        seen = run(cluster, tasks, out)
        ended.set()
        thread.join()
        assert set(seen) == {task.stem for task in tasks}
    assert len(set(kills)) == 30
    run(cluster, tasks, out, retry_failed=True)
    assert tree(out) == expected
