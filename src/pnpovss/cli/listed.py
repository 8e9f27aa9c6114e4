"""Options that take several values: with commas between them, or the option several times, or both."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pnpovss.errors import ConfigError

__all__ = ["listed", "numbers"]

Number = TypeVar("Number", int, float)


def listed(given: Sequence[str] | None) -> list[str]:
    """The values, in the order in which they were given; none where the option was left out."""
    return [word.strip() for text in given or () for word in text.split(",") if word.strip()]


def numbers(given: Sequence[str] | None, option: str, kind: Callable[[str], Number]) -> list[Number]:
    """The same as numbers.

    Raises:
        ConfigError: one of them is none.
    """
    words = listed(given)
    try:
        return [kind(word) for word in words]
    except ValueError as error:
        what = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"{option} wants {what} with commas between them, got {', '.join(words)!r}") from error
