import pytest
from PIL import Image

from pnpovss.errors import PresenceError
from pnpovss.names import Name
from pnpovss.presence import Photo, PresenceFilter, known_filters, make_presence
from pnpovss.presence.base import PresenceFilter as Protocol

NAMES = (Name("cat"), Name("dog"), Name("sky"))
PHOTO = Image.new("RGB", (8, 8))


def test_all_and_oracle():
    assert make_presence("all").decide(Photo(PHOTO), NAMES).kept == (0, 1, 2)
    oracle = make_presence("oracle")
    decided = oracle.decide(Photo(PHOTO, truth=(2, 0)), NAMES)
    assert decided.kept == (0, 2)
    assert decided.scores == (1.0, 0.0, 1.0)
    assert oracle.decide(Photo(PHOTO, truth=()), NAMES).kept == ()
    with pytest.raises(PresenceError, match="this photo has none"):
        oracle.decide(Photo(PHOTO), NAMES)


def test_every_filter_is_told():
    assert list(known_filters()) == [
        "all",
        "oracle",
        "itm",
        "itc",
        "itm+itc",
        "itm+itc+attention",
        "file",
        "clip",
        "llm",
    ]
    assert PresenceFilter is Protocol
    for key in ("all", "oracle"):
        assert isinstance(make_presence(key), PresenceFilter)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gpt", r"unknown presence filter 'gpt'; known: all, oracle, itm, itc, itm\+itc, itm\+itc\+attention, file"),
        ("", "unknown presence filter ''"),
        ("all:0.5", "`all` and `oracle` take no rule"),
        ("itm", "itm asks the segmenting model"),
        ("file", "'file' needs more: file:PATH"),
        ("clip:", "'clip' needs more: clip:MODEL"),
        ("llm", "'llm' needs more: llm:MODEL"),
        ("file:/nowhere.json", "/nowhere.json does not exist"),
    ],
)
def test_specs_that_make_nothing(spec, message):
    with pytest.raises(PresenceError, match=message):
        make_presence(spec)
