"""`pnpovss segment --presence`: only names that are held to be there are asked for."""

import json
from pathlib import Path

from .conftest import Call, files

FAKE = ("--model", "fake", "--without", "dropout,blur,crf")


def record(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "flag.json").read_text())


def test_names_from_a_file(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "present.json").write_text(json.dumps({"flag": {"blue": 0.9, "green": 0.2}}))
    done = call("segment", photo, "--names", "red, green, blue", "--presence", "file:present.json", "--heatmaps", *FAKE)
    assert done.exit_code == 0, done.output
    told = record(tmp_path)
    assert [name["name"] for name in told["names"]] == ["blue"]
    assert told["presence"] == {
        "filter": "file:present.json:0.7", "scores": {"red": 0.0, "green": 0.2, "blue": 0.9}, "note": None,
    }  # fmt: skip
    assert "flag.heat-1-blue.png" in files(tmp_path)


def test_names_by_the_model_itself(call: Call, photo: Path, tmp_path: Path):
    done = call("segment", photo, "--names", "red, green, blue", "--presence", "itm:top2", *FAKE)
    assert done.exit_code == 0, done.output
    assert [name["name"] for name in record(tmp_path)["names"]] == ["red", "blue"]


def test_all_names_say_nothing_of_presence(call: Call, photo: Path, tmp_path: Path):
    assert call("segment", photo, "--names", "red", *FAKE).exit_code == 0
    assert "presence" not in record(tmp_path)


def test_a_photo_without_any_of_the_names_fails_alone(call: Call, photo: Path, tmp_path: Path):
    (tmp_path / "present.json").write_text(json.dumps({"flag": []}))
    done = call("segment", photo, "--names", "red", "--presence", "file:present.json", *FAKE)
    assert done.exit_code == 1
    assert "none of the names is in it; nothing to segment" in done.output
    assert not (tmp_path / "flag.json").exists()


def test_what_cannot_work_is_refused_before_loading(call: Call, photo: Path):
    for spec, message in (
        ("gpt", "unknown presence filter 'gpt'"),
        ("oracle", "photos have none"),
        ("itm:best", "'best' is no rule"),
        ("file:nowhere.json", "nowhere.json does not exist"),
    ):
        done = call("segment", photo, "--names", "red", "--presence", spec, "--model", "no-such-model")
        assert done.exit_code == 2
        assert message in done.output, done.output
