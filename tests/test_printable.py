import pytest

from pnpovss.printable import printable


@pytest.mark.parametrize("text", ["cat", "Кошка 猫 é", "👩\u200d🚀 ❤\ufe0f", "it's 50% [red]", ""])
def test_what_is_readable_stays(text: str):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("two\r\nlines\u2028more", r"two\r\nlines\u2028more"),
        ("csi \x9b2J", r"csi \x9b2J"),
        ("bad\udcffbyte", r"bad\udcffbyte"),
        ("gpj\u202e.exe", r"gpj\u202e.exe"),
    ],
)
def test_what_steers_terminals_is_written_out(text: str, shown: str):
    assert printable(text) == shown
    assert printable(shown) == shown
