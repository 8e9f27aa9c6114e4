"""Text for messages: what comes from outside made harmless for terminals and pictures, and some of many."""

import unicodedata
from collections.abc import Sequence

__all__ = ["first_of", "printable"]

_KINDS = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, separators of lines and paragraphs
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # writing direction


def printable(text: str) -> str:
    r"""A text as it may be shown: what would steer a terminal, or hide or reorder its neighbours, becomes an escape.

    Letters of all scripts, emoji and their joiners stay. Line ends and tabs become escapes, too, so one line stays one.

    >>> printable("cat\x1b[31m\n")
    'cat\\x1b[31m\\n'
    """
    return "".join(_escape(c) if unicodedata.category(c) in _KINDS or c in _TURNS else c for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def first_of(texts: Sequence[str], most: int) -> str:
    """Some of many for a message: the first ones, and how many more there are.

    Args:
        texts: to be told.
        most: how many are written out.
    """
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")
