"""Journals: what is in them was written by this program for this run, or they are refused."""

import errno
import json
import os
from pathlib import Path

import pytest

from pnpovss.errors import InvalidInputError, OutputError
from pnpovss.files.journal import Journal, Record, read_journal


def written(path: Path, *records: Record) -> bytes:
    """The bytes of a journal with these records."""
    with Journal(path) as journal:
        for record in records:
            journal.append(record)
    return path.read_bytes()


def test_records_come_back_by_key_and_go_on_where_they_stopped(tmp_path: Path):
    path = tmp_path / "run" / "images.jsonl"
    with Journal(path) as journal:
        journal.append({"key": "a", "n": 1})
    with Journal(path) as journal:
        assert journal.records == {"a": {"key": "a", "n": 1}}
        journal.append({"key": "b", "n": 2})
    assert list(read_journal(path)) == ["a", "b"]
    lines = path.read_text().splitlines()
    assert [json.loads(line)["record"]["n"] for line in lines] == [1, 2]
    assert read_journal(tmp_path / "nothing") == {}


def test_the_file_is_opened_as_bytes_where_systems_have_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(os, "O_BINARY", os.O_NONBLOCK, raising=False)  # a flag that can be read back here
    with Journal(tmp_path / "images.jsonl") as journal:
        assert fcntl.fcntl(journal._file, fcntl.F_GETFL) & os.O_NONBLOCK


@pytest.mark.parametrize("torn", [b'{"check":"', b'{"key":"b"}', b'{"key":"b"\0\0\0\n', b"\0\0\0\0\n"])
def test_a_torn_last_line_is_dropped_and_cut_off(tmp_path: Path, torn: bytes):
    path = tmp_path / "images.jsonl"
    whole = written(path, {"key": "a"})
    path.write_bytes(whole + torn)
    assert list(read_journal(path)) == ["a"]
    assert path.read_bytes() == whole + torn, "reading changes nothing"
    with Journal(path) as journal:
        assert list(journal.records) == ["a"]
        journal.append({"key": "b"})
    assert list(read_journal(path)) == ["a", "b"]
    assert path.read_bytes().startswith(whole)


def test_no_flipped_bit_passes(tmp_path: Path):
    path = tmp_path / "images.jsonl"
    records = [{"key": "a", "confusion": [[0, 0, 120]]}, {"key": "b", "confusion": [[0, 1, 3]]}]
    whole = written(path, *records)
    first = whole.index(b"\n") + 1
    believed = {record["key"]: record for record in records}
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            if place < first - 1:
                with pytest.raises(OutputError, match=r"line 1 (is damaged: its checksum does not fit|.*twice)"):
                    read_journal(path)
            else:  # the end may be torn: what is left is done again, nothing wrong is believed
                try:
                    found = read_journal(path)
                except OutputError:
                    continue
                assert all(believed[key] == record for key, record in found.items())
                assert len(found) < 2


def test_a_record_of_another_run_is_refused(tmp_path: Path):
    """Twelve photos: a record of a thirteenth, whole and with its checksum, has no place among them."""
    path, keys = tmp_path / "images.jsonl", [f"photo{i}" for i in range(12)]
    written(path, *({"key": key} for key in [*keys, "photo12"]))
    with pytest.raises(OutputError, match=r"line 13: 'photo12' is not of this run"):
        Journal(path, keys=keys)
    with pytest.raises(OutputError, match="is not of this run"):
        read_journal(path, keys=keys)
    with Journal(path, keys=[*keys, "photo12"]) as journal:
        assert len(journal.records) == 13
        with pytest.raises(ValueError, match="not of this run"):
            journal.append({"key": "photo13"})


def test_a_record_twice_is_refused(tmp_path: Path):
    path = tmp_path / "images.jsonl"
    whole = written(path, {"key": "a"}, {"key": "b"})
    path.write_bytes(whole + whole[: whole.index(b"\n") + 1])
    with pytest.raises(OutputError, match=r"line 3: 'a' is recorded twice"):
        Journal(path)
    path.write_bytes(whole)
    with Journal(path) as journal, pytest.raises(ValueError, match="recorded already"):
        journal.append({"key": "a"})


@pytest.mark.parametrize("record", [{"key": "a"}, {"key": "a", "n": -1}, {"key": "a", "n": "many"}])
def test_what_the_caller_does_not_know_is_refused(tmp_path: Path, record: Record):
    def check(found: Record) -> None:
        if found["n"] < 0:
            raise ValueError(f"n is {found['n']}")

    path = tmp_path / "images.jsonl"
    written(path, {"key": "good", "n": 1}, record)
    with pytest.raises(OutputError, match=r"line 2: 'a' has a record that does not fit"):
        Journal(path, check=check)
    with Journal(path) as journal:  # the refused one gave its lock back
        assert len(journal.records) == 2


def test_two_runs_in_one_folder_are_refused(tmp_path: Path):
    path = tmp_path / "images.jsonl"
    with Journal(path) as first:
        with pytest.raises(OutputError, match="is being written by another process"):
            Journal(path)
        first.append({"key": "a"})
        assert list(read_journal(path)) == ["a"], "reading needs no lock"
    with Journal(path) as second:
        assert list(second.records) == ["a"]


def test_damage_in_the_middle_is_named_by_line(tmp_path: Path):
    path = tmp_path / "images.jsonl"
    first, last = written(path, {"key": "a"}, {"key": "b"}).splitlines(keepends=True)
    path.write_bytes(first + b'{"key":"x","confusion":[]}\n' + last)
    with pytest.raises(OutputError, match=r"images.jsonl, line 2 is damaged: .*the image is done again"):
        Journal(path)


def test_what_is_no_number_is_not_recorded(tmp_path: Path):
    path = tmp_path / "images.jsonl"
    with Journal(path) as journal, pytest.raises(InvalidInputError, match="seconds is nan"):
        journal.append({"key": "a", "seconds": float("nan")})
    assert path.read_bytes() == b""


def test_a_full_disk_leaves_no_torn_line_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, write = tmp_path / "images.jsonl", os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) // 2])

    with Journal(path) as journal:
        journal.append({"key": "a"})
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", half)
            with pytest.raises(OutputError, match="No space left"):
                journal.append({"key": "b"})
        journal.append({"key": "c"})
    assert list(read_journal(path)) == ["a", "c"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path / "file" / "images.jsonl")
