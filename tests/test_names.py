"""Names as people give them: from Python, and in files."""

import logging
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pnpovss.errors import NamesError
from pnpovss.names import Name, parse_names, parse_names_text, read_names_file


def test_white_space_is_made_single():
    assert parse_names(["  potted \n plant "]) == (Name("potted plant"),)


def test_names_that_are_parsed_are_left_as_they_are():
    assert parse_names([Name("sofa", ("couch",))]) == (Name("sofa", ("couch",)),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "CAT"),
        ("café", "cafe\u0301"),  # composed and decomposed
        ("file", "ﬁle"),  # a ligature
        ("cat", "\uff43\uff41\uff54"),  # full width
        ("straße", "STRASSE"),
        ("cat", "c\u200bat"),  # zero width space
        ("cat", "\ufeffcat"),  # byte order mark
        ("cat", "ca\u00adt"),  # soft hyphen
        ("cat", "cat\ufe0f"),  # variation selector
        ("cat", "\u202ecat"),  # right to left
        ("potted plant", "potted\u00a0plant"),  # a space that does not break
    ],
)
def test_spellings_of_one_word_are_one_name(one: str, other: str):
    with pytest.raises(NamesError, match=r"named twice|same word"):
        parse_names([one, other])


def test_what_shows_nothing_is_left_out():
    assert parse_names(["c\u200ba\u00adt", "cafe\u0301"]) == (Name("cat"), Name("café"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "no names were given"),
        ("cat", r"got one string 'cat'; write \['cat'\]"),
        (None, "must be a list of names, got NoneType"),
        (3, "must be a list of names, got int"),
        ({"cat", "dog"}, "got set; labels follow the order"),
        ({"cat": 1}, "got dict"),
        (["cat", ""], "empty name"),
        (["cat", "  "], "empty name"),
        (["cat", "\u200b"], "empty name"),
        ([[]], "a string or a list of synonyms"),
        ([3], "a string or a list of synonyms"),
        ([None], "a string or a list of synonyms, got None"),
        ([b"cat"], "a string or a list of synonyms"),
        (["cat", "Cat"], "'Cat' is the same word as in 'cat'"),
        (["cat", "cat"], "'cat' is named twice"),
        ([["sofa", "couch"], ["armchair", "couch"]], "'couch' is the same word as in 'sofa'"),
        (["\ud800"], r"holds '\\ud800', which is no text"),
        (["cat\x1b[31m"], r"holds '\\x1b', which is no text"),
        (["cat\x00"], r"holds '\\x00'"),
        (["cat; sofa"], r"'cat; sofa' is not one name: .* write \"cat, sofa\", or \['cat', 'sofa'\]"),
        (["cat. sofa."], r"write \"cat, sofa\", or \['cat', 'sofa'\]"),
        (["cat . potted plant ."], r"write \"cat, potted plant\""),
        (["cat."], r"write \"cat\", or \['cat'\]"),
        (["cat | sofa"], r"write \"cat, sofa\""),
        (["cat, sofa"], r"write \"cat, sofa\""),
        ([";"], r"write \"cat, sofa\""),
        (["1. cat"], "starts with a number; write 'cat' alone"),
        (["0: background"], "starts with a number"),
        (["Background"], "nothing to look for"),
        (["_background_"], "'_background_' is nothing to look for"),
        (["__background__"], "nothing to look for"),
    ],
)
@pytest.mark.wrong_types
def test_unusable_names_are_refused(names: object, said: str):
    with pytest.raises(NamesError, match=said):
        parse_names(names)  # type: ignore[arg-type]


@pytest.mark.wrong_types
def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(NamesError, match="a string or a list of synonyms"):
        parse_names([Name(None)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["St. Bernard", "Martin Luther King Jr.", "U.S. flag", "7 up", "3.5 inch disk", "t-shirt"]
)
def test_full_stops_and_numbers_of_real_names(name: str):
    assert parse_names([name]) == (Name(name),)


TEXT = st.text(st.characters(exclude_categories=()), max_size=12)


@given(st.lists(st.none() | st.integers() | TEXT | st.lists(TEXT, max_size=3), max_size=4))
@example(["\x1c"])
@settings(max_examples=300, deadline=None, derandomize=True)
@pytest.mark.wrong_types
def test_any_names_are_taken_or_refused(names: list):
    try:
        parsed = parse_names(names)
    except NamesError as error:
        str(error).encode()  # a message can be shown, whatever came
    else:
        assert parse_names(parsed) == parsed
        assert all(word.isprintable() and word.encode() for name in parsed for word in name.all)


def test_file(tmp_path: Path):
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffcat\r\n\r\n# a remark\r\nsofa ,  couch\r\npotted  plant\r\n".encode())
    assert read_names_file(path).names == (Name("cat"), Name("sofa", ("couch",)), Name("potted plant"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"cat\ndog\nCat\n", "line 3: 'Cat' was given before, in line 1"),
        (b"sofa, couch\ncouch\n", "line 2: 'couch' was given before, in line 1"),
        (b"cat\nsofa, sofa\n", "line 2: name 'sofa' is named twice"),
        (b"cat,,kitten\n", "line 1: an empty name"),
        (b"cat; dog\n", "line 1: 'cat; dog' is not one name"),
        (b"# only\n\n", "holds no names"),
        (b"background\n", "holds no names"),
        (b"1: cat\ndog\n", "line 2: 'dog' has no number before it"),
        (b"1: cat\n1: dog\n", "two lines start with the same number"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
    ],
)
def test_file_with_faults(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(NamesError, match=says):
        read_names_file(path)


def test_a_file_of_one_line_says_that_its_words_are_one_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (path := tmp_path / "names.txt").write_text("cat, potted plant, dog\n")
    assert [name.all for name in read_names_file(path).names] == [("cat", "potted plant", "dog")]
    assert "one line is one name, 'cat', with the synonyms 'potted plant', 'dog'; for names apart" in caplog.text
    caplog.clear()
    path.write_text("cat\nsofa, couch\n")
    read_names_file(path)
    assert not caplog.text


def test_file_that_cannot_be_read(tmp_path: Path):
    for path, says in ((tmp_path / "none.txt", "no such file"), (tmp_path, "Is a directory")):
        with pytest.raises(NamesError, match=says):
            read_names_file(path)


@pytest.mark.parametrize(
    "background", ["background", "_background_", "__background__", "0: background", "0 background"]
)
def test_a_background_and_numbers_are_no_things(background: str, caplog: pytest.LogCaptureFixture):
    lines = [background, "1: cat", "2: dog"] if background[0] == "0" else [background, "cat", "dog"]
    if background == "0 background":
        lines = [line.replace(":", "") for line in lines]
    listed = parse_names_text("\n".join(lines), "names.txt")
    assert listed.names == (Name("cat"), Name("dog"))
    assert "is nothing to look for, and is left out" in caplog.text
    assert ("the numbers before the names are left out" in caplog.text) == (background[0] == "0")
    with caplog.at_level(logging.WARNING):
        classes = parse_names_text("\n".join(lines), "names.txt", positional=True)
    assert (classes.names, classes.values, classes.background) == (listed.names, (1, 2), 0)


def test_numbers_are_mask_values():
    listed = parse_names_text("15: person\n3: bird\n0: background\n", "names.txt", positional=True)
    assert (listed.names, listed.values, listed.background) == ((Name("person"), Name("bird")), (15, 3), 0)


def test_a_name_that_starts_with_a_number_is_a_name():
    assert parse_names_text("7 up\ncola\n", "names.txt").names == (Name("7 up"), Name("cola"))
    assert parse_names_text("7 up\n", "names.txt").names == (Name("7 up"),)
    assert parse_names_text("7 up\n3 musketeers\n", "names.txt").names == (Name("7 up"), Name("3 musketeers"))


@pytest.mark.parametrize(
    ("text", "values"), [("3 cat\n7 dog\n", (3, 7)), ("1 cat\n4  dog\n", (1, 4)), ("0 cat\n1\tdog\n", (0, 1))]
)
def test_numbers_before_a_space_are_numbers_where_they_ascend(text: str, values: tuple[int, int]):
    listed = parse_names_text(text, "names.txt", positional=True)
    assert (listed.names, listed.values, listed.numbered) == ((Name("cat"), Name("dog")), values, True)


@pytest.mark.parametrize(
    ("line", "said"), [("", "line 2 is empty; each line is a class"), ("# dogs", "line 2 is a remark")]
)
def test_no_line_of_a_positional_list_is_skipped(line: str, said: str):
    with pytest.raises(NamesError, match=said):
        parse_names_text(f"cat\n{line}\ndog\n", "names.txt", positional=True)
