import json
import re

import pytest
from PIL import Image

from pnpovss.errors import PresenceError
from pnpovss.names import Name
from pnpovss.presence import Photo, make_presence
from pnpovss.presence.llm.answers import MalformedAnswer, parse_listed_answer

NAMES = (Name("aeroplane"), Name("dining table"), Name("tv monitor"), Name("sofa", ("couch",)))
PHOTO = Image.new("RGB", (8, 8))


def filter_of(tmp_path, answers, spec="file"):
    path = tmp_path / "names.json"
    path.write_text(json.dumps(answers))
    return make_presence(f"{spec}:{path}")


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        ("[1: 'aeroplane'], [100%]", (1, 0, 0, 0)),
        ("[1: aeroplane, 2: table], [95, 70]", (0.95, 0.7, 0, 0)),
        ("[2: 'table', 3: 'tvmonitor'], [table: 95%, tvmonitor: 60.5%]", (0, 0.95, 0.605, 0)),
        ('[4: "couch"],\n[80 %]', (0, 0, 0, 0.8)),
        ("[1: 'aeroplane', 1: 'aeroplane'], [20, 90]", (0.9, 0, 0, 0)),
        ("[], []", (0, 0, 0, 0)),
        ("I see: [3: 'tvmonitor'], [75%]. Nothing else.", (0, 0, 0.75, 0)),
    ],
)
def test_answers_as_the_paper_has_them(answer, scores):
    assert parse_listed_answer(answer, NAMES) == pytest.approx(scores)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "no two lists"),
        ("[1: 'aeroplane']", "no two lists"),
        ("I cannot see the image.", "no two lists"),
        ("[1: 'aeroplane', 2: 'table'], [90]", "2 names and 1 percentages"),
        ("[aeroplane], [90]", "no numbered names"),
        ("[1: 'aeroplane'], [high]", "1 names and 1 percentages"),
        ("[5: 'train'], [90]", r"number 5 \('train'\) is none of the 4 names"),
        ("[0: 'aeroplane'], [90]", "number 0"),
        ("[2: 'horse'], [90]", "number 2 is dining table, the answer calls it 'horse'"),
        ("[1: 'aeroplane'], [900]", "900% of 'aeroplane' is no percentage"),
    ],
)
def test_malformed_answers(answer, message):
    with pytest.raises(MalformedAnswer, match=message):
        parse_listed_answer(answer, NAMES)


def test_more_than_70_percent_is_kept_and_malformed_answers_are_counted(tmp_path, caplog):
    filter = filter_of(
        tmp_path,
        {"a": "[1: aeroplane, 2: table, 4: sofa], [95, 70, 71]", "b": "[4: sofa], [10]", "c": "sorry", "d": "[], []"},
    )
    decided = {key: filter.decide(Photo(PHOTO, key), NAMES) for key in "abcd"}
    assert decided["a"].kept == (0, 3)
    assert decided["b"].kept == (3,)  # nothing passes: the best
    assert decided["c"].kept == ()
    assert decided["c"].note == "malformed answer: no two lists in 'sorry'"
    assert decided["d"].kept == ()
    filter.decide(Photo(PHOTO, "c"), NAMES)  # once more is not twice as bad
    assert filter.report() == {"photos": 4, "malformed": 1, "empty": 1}
    assert caplog.text.count("sorry") == 1


def test_the_key_tells_answers_apart_not_how_they_are_written(tmp_path):
    first = filter_of(tmp_path, {"a": ["sofa"], "b": []}).key
    assert re.fullmatch(r"file:names\.json@[0-9a-f]{8}:0\.7", first)
    assert filter_of(tmp_path, {"b": [], "a": ["sofa"]}).key == first
    assert filter_of(tmp_path, {"a": ["aeroplane"], "b": []}).key != first


def test_lists_and_scores(tmp_path):
    filter = filter_of(tmp_path, {"a": ["Couch", "aeroplane"], "b": {"tv monitor": 0.9, "sofa": 0.2}, "c": []})
    assert filter.decide(Photo(PHOTO, "a"), NAMES).kept == (0, 3)
    assert filter.decide(Photo(PHOTO, "b"), NAMES).kept == (2,)
    assert filter.decide(Photo(PHOTO, "b"), NAMES).scores == (0, 0, 0.9, 0.2)
    assert filter.decide(Photo(PHOTO, "c"), NAMES).kept == ()


def test_what_cannot_be_looked_up(tmp_path):
    filter = filter_of(tmp_path, {"a": ["zebra"]})
    with pytest.raises(PresenceError, match="'zebra' is none of the 4 names"):
        filter.decide(Photo(PHOTO, "a"), NAMES)
    for key in ("b", None):
        with pytest.raises(PresenceError, match=f"has no names for photo {key!r}; it has 1 photos, such as 'a'"):
            filter.decide(Photo(PHOTO, key), NAMES)


def test_photos_are_found_by_their_paths(tmp_path):
    answers = {"d1/cat": ["sofa"], "d2/cat.jpg": ["aeroplane"], "dog": [], "caf\u00e9": ["couch"]}
    filter = filter_of(tmp_path, answers)
    found = {key: filter.decide(Photo(PHOTO, key), NAMES).kept for key in ("d1/cat.jpg", "my/d2/cat.jpg", "x/dog.PNG")}
    assert found == {"d1/cat.jpg": (3,), "my/d2/cat.jpg": (0,), "x/dog.PNG": ()}
    assert filter.decide(Photo(PHOTO, "/home/me/cafe\u0301.jpeg"), NAMES).kept == (3,)  # as macOS writes the name
    with pytest.raises(PresenceError, match=r"has no names for photo 'd3/cat\.jpg'"):
        filter.decide(Photo(PHOTO, "d3/cat.jpg"), NAMES)


def test_two_photos_do_not_share_an_answer(tmp_path):
    filter = filter_of(tmp_path, {"cat": ["sofa"]})
    assert filter.decide(Photo(PHOTO, "d1/cat.jpg"), NAMES).kept == (3,)
    said = r"'cat' fits 2 photos, such as 'd1/cat\.jpg' and 'd2/cat\.jpg'; .* such as 'd1/cat\.jpg'"
    with pytest.raises(PresenceError, match=said):
        filter.decide(Photo(PHOTO, "d2/cat.jpg"), NAMES)
    together = make_presence(f"file:{tmp_path / 'names.json'}", photos=("d1/cat.jpg", "d2/cat.jpg"))
    for photo in ("d1/cat.jpg", "d2/cat.jpg"):  # neither, where it is known beforehand
        with pytest.raises(PresenceError, match=said):
            together.decide(Photo(PHOTO, photo), NAMES)


def test_names_are_compared_as_readers_do(tmp_path):
    filter = filter_of(tmp_path, {"a": ["\uff33ofa", "tv\u00a0monitor"]})
    assert filter.decide(Photo(PHOTO, "a"), NAMES).kept == (2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "holds a list; expected an object"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"a": [], "a": ["cat"]}', "'a' is there twice"),
        ('{"a": [], "./a": ["cat"]}', "two answers for one photo"),
        ('{"a": {"cat": 1e999}}', "the number 1e999 is too large"),
        ('{"a": {"cat": NaN}}', "NaN is no number of JSON"),
        ('{"a": {"cat": 1' + "0" * 400 + "}}", "is neither"),
        ('{"a": 3}', "'a': 3 is neither"),
        ('{"a": [3]}', "'a': .3. is neither"),
        ('{"a": {"cat": 95}}', "is neither"),
    ],
)
def test_bad_files(tmp_path, content, message):
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(PresenceError, match=message):
        make_presence(f"file:{tmp_path / 'names.json'}")


def test_all_that_does_not_fit_is_told_before_the_first_photo(tmp_path):
    answers = {"a": ["sofa"], "b": ["zebra", "aeroplane"], "c": {"gnu": 0.9}, "d": "sorry", "e": [], "cat": []}
    filter = filter_of(tmp_path, answers)
    filter.check_photos(["a", "d", "e"], NAMES)
    with pytest.raises(PresenceError) as refused:
        filter.check_photos([*"abcde", "d1/cat.jpg", "d2/cat.jpg", *"uvwxyz"], NAMES)
    assert str(refused.value) == (
        f"{tmp_path / 'names.json'} does not fit the 13 photos; "
        "photos without names: 6 ('u', 'v', 'w', 'x', 'y' and 1 more); "
        "keys that fit several photos, and have to hold more of their paths: 1 ('cat' (2 photos)); "
        "words that are none of the 4 names asked for: 2 ('zebra' of 'b', 'gnu' of 'c'). It has 6 photos, such as 'a'"
    )
    assert filter.report() == {"photos": 0, "malformed": 0, "empty": 0}  # nothing was asked yet
