"""Names typed and names listed."""

from pathlib import Path

import pytest

from pnpovss.cli.names import gather_names, read_names_file
from pnpovss.errors import NamesError


def test_typed_names():
    assert gather_names(" cat ,potted plant", None) == [("cat",), ("potted plant",)]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (None, "no names were given; say what"),
        ("  ", "no names"),
        ("cat,,dog", "an empty name"),
        ("cat,", "extra comma"),
    ],
)
def test_typed_names_that_are_none(typed: str | None, says: str):
    with pytest.raises(NamesError, match=says):
        gather_names(typed, None)


def test_only_one_of_both():
    with pytest.raises(NamesError, match="both given"):
        gather_names("cat", Path("names.txt"))


def test_file(tmp_path: Path):
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffcat\r\n\r\n# a remark\r\nsofa ,  couch\r\npotted  plant\r\n".encode())
    assert read_names_file(path) == [("cat",), ("sofa", "couch"), ("potted plant",)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"cat\ndog\nCat\n", "line 3: 'Cat' was given before, in line 1"),
        (b"sofa, couch\ncouch\n", "line 2: 'couch' was given before, in line 1"),
        (b"cat,,kitten\n", "line 1: an empty name"),
        (b"# only\n\n", "holds no names"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
    ],
)
def test_file_with_faults(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(NamesError, match=says):
        read_names_file(path)


def test_file_that_cannot_be_read(tmp_path: Path):
    for path, says in ((tmp_path / "none.txt", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(NamesError, match=says):
            read_names_file(path)
