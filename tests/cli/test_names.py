"""Names typed and names listed."""

from pathlib import Path

import pytest

from pnpovss.cli.names import gather_names
from pnpovss.errors import NamesError
from pnpovss.names import Name


def test_typed_names():
    assert gather_names([" cat ,potted plant"], None) == (Name("cat"), Name("potted plant"))


def test_names_typed_in_several_options_are_all_looked_for():
    assert gather_names(["cat, sofa", "dog"], None) == (Name("cat"), Name("sofa"), Name("dog"))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (None, "no names were given; say what"),
        ("  ", "no names"),
        ("cat,,dog", "an empty name"),
        ("cat,", "extra comma"),
        ("cat. sofa.", 'write "cat, sofa"'),
        ("cat; sofa", 'write "cat, sofa"'),
    ],
)
def test_typed_names_that_are_none(typed: str | None, says: str):
    with pytest.raises(NamesError, match=says):
        gather_names(typed and [typed], None)


def test_only_one_of_both():
    with pytest.raises(NamesError, match="both given"):
        gather_names(["cat"], Path("names.txt"))


def test_names_of_a_file(tmp_path: Path):
    (tmp_path / "names.txt").write_text("cat\nsofa, couch\n")
    assert gather_names(None, tmp_path / "names.txt") == (Name("cat"), Name("sofa", ("couch",)))
