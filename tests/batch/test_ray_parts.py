"""What the work on a cluster is made of, without one: rows, markers, and what becomes of a batch whose process died."""

from pathlib import Path

import pytest

from pnpovss.batch import ray_data
from pnpovss.batch.events import Done, Failed, Outcome, Skipped, Task
from pnpovss.batch.model import ModelChoice
from pnpovss.batch.outputs import DEFAULT_OUTPUTS
from pnpovss.batch.ray_data import Cluster
from pnpovss.batch.recipe import FilterChoice, Recipe
from pnpovss.errors import MissingExtraError, NamesError
from pnpovss.names import Name
from pnpovss.presets import Tuned
from tests.support.program_calls import save_flag

NAMES = (Name("cat"), Name("sofa", ("couch", "settee")))


@pytest.mark.parametrize(
    "outcome",
    [
        Done(Task("/in/1.jpg", "a/1", NAMES), {"photo": "Кошка", "hints": ["one"]}, ("one",), "asked for"),
        Skipped(Task("s3://in/1.jpg", "a/1"), {"photo": "1", "share": 0.25}),
        Failed(Task("/in/1.jpg", "1"), "1.jpg: broken", "Traceback"),
    ],
)
def test_outcomes_go_through_tables(outcome: Outcome):
    row = ray_data._row_of(outcome)
    whole = {name: row.get(name) for name in ray_data.COLUMNS}
    assert set(row) <= set(ray_data.COLUMNS)
    assert all(value is None or isinstance(value, str) for value in whole.values())
    assert ray_data._outcome(whole) == outcome


def test_names_that_no_photo_can_be_asked_for_end_the_run():
    row = ray_data._row_of(Failed(Task("/in/1.jpg", "1"), "too long", ray_data._NAMES))
    with pytest.raises(NamesError, match="too long"):
        ray_data._outcome(row)


def test_names_that_are_no_text_fail_before_the_cluster():
    unfit: list[Outcome] = []
    good, odd = Task("/in/1.jpg", "1"), Task("/in/\udcff.jpg", "2")
    assert list(ray_data._fit([good, odd], unfit)) == [good]
    [failed] = unfit
    assert isinstance(failed, Failed)
    assert failed.task == odd


class Recorder:
    """Stands in for a job: notes what it is given, and can die."""

    def __init__(self, dies_at: str | None = None) -> None:
        self.tasks: list[Task] = []
        self.dies_at = dies_at

    def run(self, task: Task) -> Outcome:
        self.tasks.append(task)
        if task.stem == self.dies_at and not task.given_up:
            raise KeyboardInterrupt
        return Failed(task, task.given_up, "") if task.given_up else Skipped(task, {})


TASKS = [Task(f"/in/{i}.jpg", str(i)) for i in range(4)]


def carefully(out: Path, job: Recorder) -> list[Outcome]:
    actor = ray_data._Actor.__new__(ray_data._Actor)
    actor._job, actor._marker = job, ray_data._Marker(out)  # type: ignore[assignment]
    return list(actor._run(TASKS))


def test_a_photo_that_ends_its_process_is_given_up_and_the_others_are_done(tmp_path: Path):
    out = tmp_path / "out"
    [key] = {ray_data.checksum(b"0")[:16]}
    ray_data._Marker(out).put(key, {})  # a process began with this batch, and died
    for _ in range(ray_data.TRIES):
        with pytest.raises(KeyboardInterrupt):
            carefully(out, Recorder(dies_at="2"))
    outcomes = carefully(out, Recorder(dies_at="2"))
    assert [type(outcome) for outcome in outcomes] == [Skipped, Skipped, Failed, Skipped]
    assert "/in/2.jpg: the process at work on it ended 2 times" in outcomes[2].error  # type: ignore[union-attr]
    assert list(out.iterdir()) == []


def test_actors_see_paths_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    recipe = Recipe(ModelChoice("model"), NAMES, Path("out"), (), FilterChoice(), False, False, False, 1)
    seen = ray_data._seen_from_everywhere(recipe)
    assert (seen.out, seen.choice.model) == (tmp_path / "out", str(tmp_path / "model"))
    chosen = FilterChoice("itm", photos=("s3://b/1.jpg",))
    bucket = Recipe(ModelChoice("mini"), NAMES, "s3://b/out", (), chosen, False, False, False, 1)
    assert ray_data._seen_from_everywhere(bucket) == bucket


TUNED = Tuned(
    settings={"threshold": 0.3},
    preset="default",
    model="mini",
    revision=None,
    reward="keep-delete",
    judge="itc",
    judged_itself=True,
    searched="thresholds",
    photos=1,
    photos_digest="0" * 12,
    names_from="names.txt",
    evaluation_photos=(),
    seed=0,
    wins=1.0,
    lead=None,
    undecided_between=(),
    created="2026-11-26T00:00:00Z",
    versions={},
)


def test_actors_find_what_is_asked_for_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_flag(tmp_path / "photos" / "flag.png")
    (tmp_path / "names.json").write_text('{"flag": ["cat"]}')
    (tmp_path / "tuned.json").write_bytes(TUNED.as_json)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    chosen = FilterChoice("file:names.json", photos=("photos/flag.png",))
    choice = ModelChoice("mini", device="cpu", preset="tuned.json", without=("views", "crf"))
    recipe = Recipe(
        choice, (Name("cat"), Name("dog")), Path("out"), DEFAULT_OUTPUTS, chosen, False, False, False, 10_000
    )
    seen, photo = ray_data._seen_from_everywhere(recipe), ray_data.identity("photos/flag.png")
    monkeypatch.chdir(tmp_path / "elsewhere")  # where an actor runs
    outcome = seen.open().run(Task(photo, "flag"))
    assert isinstance(outcome, Done), outcome
    assert outcome.record["presence"]["scores"] == {"cat": 1.0, "dog": 0.0}
    assert outcome.record["provenance"]["config"]["threshold"] == 0.3
    assert (tmp_path / "out" / "flag.json").exists()


def test_a_cluster_without_ray_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    recipe = Recipe(ModelChoice("mini"), NAMES, Path("out"), (), FilterChoice(), False, False, False, 1)
    with pytest.raises(MissingExtraError, match=r"pnpovss\[ray\]"), Cluster(recipe, "auto"):
        pass
    assert Cluster(recipe, "auto").report == {}
