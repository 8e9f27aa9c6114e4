"""How a record is written: JSON that a person can read and a line-based tool can search."""

import json
from pathlib import Path
from typing import Any

import pytest

from pnpovss.batch.outputs import json_bytes, json_text
from pnpovss.batch.records import records_file, refuse_target
from pnpovss.errors import InvalidInputError

RECORD = {
    "photo": "猫/\udcff.jpg",
    "names": [{"name": "cat", "score": 0.5}, {"name": "dog", "score": None}],
    "files": [],
    "hints": ["one", "two"],
    "provenance": {"config": {"threshold": 0.1}},
}


def test_a_line_per_member_and_per_name():
    assert json_text(RECORD) == (
        '{\n "photo": "猫/\\udcff.jpg",\n'
        ' "names": [\n  {"name":"cat","score":0.5},\n  {"name":"dog","score":null}\n ],\n'
        ' "files": [],\n "hints": ["one","two"],\n "provenance": {"config":{"threshold":0.1}}\n}'
    )
    assert json.loads(json_bytes(RECORD)) == RECORD
    assert json_bytes(RECORD).endswith(b"}\n")
    assert json.loads(json_text({})) == {}


def test_what_json_does_not_hold_is_told_with_its_place():
    names = [{"name": "cat", "score": 0.5}, {"name": "dog", "score": float("nan")}]
    with pytest.raises(InvalidInputError, match=r"names\[1\]\.score is nan"):
        json_text({"names": names})


def test_a_file_of_records_is_known_again_where_lines_end_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    as_it_is = Path.open

    def as_on_windows(self: Path, mode: str = "r", **options: Any) -> Any:
        if "b" not in mode and options.get("newline") is None:
            options["newline"] = "\r\n"
        return as_it_is(self, mode, **options)

    monkeypatch.setattr(Path, "open", as_on_windows)
    with records_file(tmp_path / "all.json") as records:
        records.add(RECORD)
    assert b"\r" not in (tmp_path / "all.json").read_bytes()
    refuse_target(tmp_path / "all.json", (), (), overwrite=False)
