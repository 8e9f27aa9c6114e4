"""`pnpovss segment --presence`: only names that are held to be there are asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.chat_server import ChatServer, answer, fail
from tests.support.program_calls import Call, files, save_flag

FAKE = ("--model", "fake", "--without", "dropout,blur,crf")


def record(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "flag.json").read_text())


def kept(record: dict) -> list[str]:
    assert [name["name"] for name in record["names"]] == ["red", "green", "blue"]
    return [name["name"] for name in record["names"] if name["kept"]]


def labels(tmp_path: Path) -> set[int]:
    with Image.open(tmp_path / "flag.labels.png") as picture:
        return set(np.unique(np.asarray(picture)).tolist())


def test_names_from_a_file(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "present.json").write_text(json.dumps({"flag": {"blue": 0.9, "green": 0.2}}))
    done = call("segment", photo, "--names", "red, green, blue", "--presence", "file:present.json", "--heatmaps", *FAKE)
    assert done.exit_code == 0, done.output
    told = record(tmp_path)
    assert kept(told) == ["blue"]
    assert told["presence"]["filter"].startswith("file:present.json@")
    assert told["presence"]["scores"] == {"red": 0.0, "green": 0.2, "blue": 0.9}
    assert told["presence"]["note"] is None
    assert {name for name in files(tmp_path) if "heat" in name} == {"flag.heat-3-blue.png"}
    [row] = [line for line in done.stdout.splitlines() if "green" in line and "not there" in line]
    assert "0.20" in row


def test_other_answers_in_a_file_of_the_same_name_are_looked_at(call: Call, photo: Path, tmp_path: Path):
    words = ("segment", photo, "--names", "red, blue", "--presence", "file:present.json", *FAKE)
    for name in ("blue", "red"):
        (tmp_path / "present.json").write_text(json.dumps({"flag": [name]}))
        assert call(*words).exit_code == 0
        assert [row["name"] for row in record(tmp_path)["names"] if row["kept"]] == [name]


def test_photos_of_one_name_do_not_share_their_names(call: Call, tmp_path: Path):
    for folder in ("d1", "d2"):
        save_flag(tmp_path / folder / "flag.png")
    (tmp_path / "present.json").write_text(json.dumps({"flag": ["blue"]}))
    words = ("segment", "d1", "d2", "--names", "red, blue", "--presence", "file:present.json", "--out", "out", *FAKE)
    done = call(*words)
    assert done.exit_code == 1
    assert done.output.count("'flag' fits 2 photos, such as 'd1/flag.png' and 'd2/flag.png'") == 2
    (tmp_path / "present.json").write_text(json.dumps({"d1/flag.png": ["blue"], "d2/flag": ["red"]}))
    assert call(*words).exit_code == 0
    asked = [json.loads(path.read_text())["presence"]["scores"] for path in sorted((tmp_path / "out").rglob("*.json"))]
    assert asked == [{"red": 0.0, "blue": 1.0}, {"red": 1.0, "blue": 0.0}]


def test_names_by_the_model_itself(call: Call, photo: Path, tmp_path: Path):
    done = call("segment", photo, "--names", "red, green, blue", "--presence", "itm:top2", *FAKE)
    assert done.exit_code == 0, done.output
    assert kept(record(tmp_path)) == ["red", "blue"]


def test_all_names_say_nothing_of_presence(call: Call, photo: Path, tmp_path: Path):
    assert call("segment", photo, "--names", "red", *FAKE).exit_code == 0
    assert "presence" not in record(tmp_path)


def test_a_name_keeps_its_label_and_its_heat_map_number_whatever_is_left_out(call: Call, photo: Path, tmp_path: Path):
    names = ("--names", "red, blue, green", "--heatmaps", "--redo", *FAKE)
    for presence, expected, heat in (("all", {1, 2}, 1), ("file:present.json", {2}, 2)):
        (tmp_path / "present.json").write_text(json.dumps({"flag": {"blue": 1.0}}))
        assert call("segment", photo, "--presence", presence, *names).exit_code == 0
        assert labels(tmp_path) - {0, 3} == expected  # the map of green is flat
        assert (tmp_path / f"flag.heat-{heat}-{'red' if heat == 1 else 'blue'}.png").exists()
        assert (tmp_path / "flag.heat-2-blue.png").exists()
    assert not (tmp_path / "flag.heat-1-red.png").exists(), "it would lie beside the record of another run"


def test_a_photo_without_any_of_the_names_gets_an_empty_label_map(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "present.json").write_text(json.dumps({"flag": []}))
    done = call("segment", photo, "--names", "red", "--presence", "file:present.json", "--heatmaps", *FAKE)
    assert done.exit_code == 0, done.output
    assert "nothing that was asked for is held to be in the photo: 'red'" in done.stdout
    assert labels(tmp_path) == {0}
    assert not record(tmp_path)["names"][0]["kept"]


def test_what_cannot_work_is_refused_before_loading(call: Call, photo: Path):
    for spec, message in (
        ("gpt", "unknown presence filter 'gpt'"),
        ("oracle", "photos have none"),
        ("itm:best", "'best' is no rule"),
        ("itm:70", "no score exceeds 70"),
        ("file:nowhere.json", "nowhere.json does not exist"),
    ):
        done = call("segment", photo, "--names", "red", "--presence", spec, "--model", "no-such-model")
        assert done.exit_code == 2
        assert message in done.output, done.output


def test_a_bar_of_the_step_is_refused_where_a_filter_decides(call: Call, photo: Path):
    words = ("segment", photo, "--names", "red", "--presence", "itm", *FAKE)
    done = call(*words, "--set", "presence.above=0.2")
    assert done.exit_code == 2
    assert "setting presence.above is of the step presence, in whose place the filter 'itm' decides" in done.output
    assert call(*words, "--set", "presence=none").exit_code == 0, "off is what it is anyway"


def test_settings_of_a_language_model_reach_it(
    call: Call, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another address than the environment's, another cache, fewer attempts, and the price of the answer."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OTHER_KEY", "sesame")
    words = ("segment", photo, "--names", "red, green, blue", "--presence", "llm:some-model", *FAKE, "--redo")
    with ChatServer() as server:
        server.acts = [answer([(3, "blue", 90)])]
        given = (f"base_url={server.url}", "key_variable=OTHER_KEY", "cache=answers", "longest_side=32")
        options = [part for setting in given for part in ("--llm", setting)]
        done = call(*words, *options)
        assert done.exit_code == 0, done.output
        assert kept(record(tmp_path)) == ["blue"]
        headers, body = server.requests[0]
        assert headers["Authorization"] == "Bearer sesame"
        assert body["model"] == "some-model"
        assert list((tmp_path / "answers").rglob("*.json"))
        server.acts = [fail(500)]
        done = call(*words, "--llm", f"base_url={server.url}", "--llm", "cache=no", "--llm", "attempts=1")
        assert done.exit_code == 1
        assert "gave no usable answer in 1 attempts" in done.output
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("presence", "setting", "message"),
    [
        ("itm", "timeout=3", "--llm is for filters with settings, such as llm:MODEL; the presence asked for is 'itm'"),
        ("all", "timeout=3", "the presence asked for is 'all'"),
        ("llm:some-model", "timeouts=3", "unknown llm setting 'timeouts'; known: base_url (such as"),
        ("llm:some-model", "timeout=-1", "llm setting timeout: Input should be greater than 0, got -1"),
        ("llm:some-model", "key_variable=sk-secret", "key_variable is no name of an environment variable"),
        ("llm:some-model", "base_url=https://me:sk-secret@example.org/v1", "https://[hidden]@example.org/v1"),
        ("llm:some-model", "base_url=example.org", "base URL 'example.org' is no web address"),
        ("llm:some-model", "timeout", "a setting is given as NAME=VALUE"),
    ],
)
def test_settings_of_a_language_model_that_cannot_be(
    call: Call, photo: Path, presence: str, setting: str, message: str
):
    done = call(
        "segment", photo, "--names", "red", "--presence", presence, "--llm", setting, "--model", "no-such-model"
    )
    assert done.exit_code == 2
    assert message in done.output, done.output
    assert "secret" not in done.output
