import pytest

from pnpovss.errors import OutputError
from pnpovss.files.journal import Journal, read_journal


def test_records_come_back_by_key_and_go_on_where_they_stopped(tmp_path):
    path = tmp_path / "run" / "images.jsonl"
    with Journal(path) as journal:
        journal.append({"key": "a", "n": 1})
    with Journal(path) as journal:
        assert journal.records == {"a": {"key": "a", "n": 1}}
        journal.append({"key": "b", "n": 2})
    assert list(read_journal(path)) == ["a", "b"]
    assert path.read_text().count("\n") == 2


@pytest.mark.parametrize("torn", ['{"key":"b","n', '{"key":"b"}', '{"key":"b"\0\0\0\n', "\0\0\0\0\n"])
def test_a_torn_last_line_is_dropped_and_cut_off(tmp_path, torn):
    path = tmp_path / "images.jsonl"
    path.write_text('{"key":"a"}\n' + torn)
    assert list(read_journal(path)) == ["a"]
    assert path.read_text().endswith(torn), "reading changes nothing"
    with Journal(path) as journal:
        assert list(journal.records) == ["a"]
        journal.append({"key": "b"})
    assert path.read_text() == '{"key":"a"}\n{"key":"b"}\n'


def test_a_key_that_is_there_twice_counts_once(tmp_path):
    path = tmp_path / "images.jsonl"
    path.write_text('{"key":"a","n":1}\n{"key":"a","n":1}\n{"key":"b","n":1}\n')
    assert sum(record["n"] for record in read_journal(path).values()) == 2


def test_damage_in_the_middle_is_named_by_line(tmp_path):
    path = tmp_path / "images.jsonl"
    path.write_text('{"key":"a"}\n{"n":1}\n{"key":"b"}\n')
    with pytest.raises(OutputError, match=r"images.jsonl, line 2 is no record"):
        Journal(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path / "file" / "images.jsonl")
