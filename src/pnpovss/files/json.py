"""JSON as every program reads it: finite numbers only, written as UTF-8, in this one place."""

import json
import math
from collections.abc import Sequence
from typing import Any

from pnpovss.errors import InvalidInputError

__all__ = ["from_json", "to_json"]


def to_json(value: Any, *, indent: int | None = None) -> bytes:
    """A value as JSON in UTF-8, without a line end; bytes of file names that are no UTF-8 become escapes.

    Args:
        value: dictionaries with text keys, lists, tuples, text, numbers, bool and None.
        indent: spaces a level; None writes one line without spaces.

    Raises:
        InvalidInputError: NaN or an infinite number, which JSON lacks, or a value of another kind; says where it is.
    """
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInputError(
            f"{_culprit(value) or error}; JSON holds text, finite numbers, lists and objects"
        ) from error
    return text.encode("utf-8", "backslashreplace")


def from_json(text: str | bytes, *, unique: bool = False) -> Any:
    """What a JSON text says.

    Args:
        text: as text, or in UTF-8.
        unique: refuse objects that say something twice, as people's hands write them; else the last one counts.

    Raises:
        InvalidInputError: no JSON, nested too deep, or a number that is not finite or too long to be one; or a key that
            is there twice, where that is refused.
    """
    pairs = _unique if unique else None
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or an integer of thousands of digits
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise InvalidInputError(f"no JSON: {reason}") from error


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, unless it says something twice: which one would count?"""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r:.80} is there twice")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number[:40]} is too large")
    return value


def _culprit(value: Any, place: str = "", depth: int = 0) -> str | None:
    """The first value that JSON cannot hold, with its place, such as "names[0].score is nan"; None if there is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place or 'the value'} is {value}"
    if depth > 50 or value is None or isinstance(value, str | int | float):
        return None
    if isinstance(value, dict):
        inside = ((f"{place}.{key}".removeprefix("."), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        inside = ((f"{place}[{i}]", item) for i, item in enumerate(value))
    else:
        return f"{place or 'the value'} is a {type(value).__name__}"
    return next((found for where, item in inside if (found := _culprit(item, where, depth + 1))), None)
