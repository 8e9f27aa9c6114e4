"""What language models answer about a photo, as text: names by number, each with a percentage.

Answers come from outside: each reader takes time in proportion to the answer, and refuses by `MalformedAnswer` alone.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from pnpovss.names import Name

__all__ = ["MalformedAnswer", "parse_json_answer", "parse_listed_answer"]

LONGEST = 100_000  # characters; a thousand names take about half of it
_LISTS = re.compile(r"\[([^\[\]]*)\]\s*(?:,\s*)?\[([^\[\]]*)\]")
_PERCENT = re.compile(r"\d+(?:\.\d+)?")
_SHOWN = 120  # characters of an answer that a message repeats


class MalformedAnswer(ValueError):
    """An answer that does not say which names are there; counted and reported by whoever asked."""


def parse_listed_answer(answer: str, names: Sequence[Name]) -> tuple[float, ...]:
    """Scores from "[2: 'bicycle', 15: 'person'], [95%, 80]", the form in which the paper's GPT-4o answered.

    Args:
        answer: 1-based numbers and names in the first list, percentages in the second, which may repeat the names.
        names: what was asked for, in the order in which it was numbered.

    Returns:
        One score in [0, 1] for every name, 0 for those not mentioned.

    Raises:
        MalformedAnswer: not of this form, lists of different lengths, or numbers of other names.
    """
    _refuse_long(answer)
    lists = _LISTS.search(answer)
    if lists is None:
        raise MalformedAnswer(f"no two lists in {answer!r:.{_SHOWN}}")
    mentioned = [found for part in lists[1].split(",") if (found := _numbered(part))]
    percents = [_PERCENT.findall(part) for part in lists[2].split(",") if part.strip()]
    if not mentioned and lists[1].strip():
        raise MalformedAnswer(f"no numbered names in {answer!r:.{_SHOWN}}")
    if any(len(found) != 1 for found in percents) or len(percents) != len(mentioned):
        raise MalformedAnswer(f"{len(mentioned)} names and {len(percents)} percentages in {answer!r:.{_SHOWN}}")
    values = [(number, word, float(found[0])) for (number, word), found in zip(mentioned, percents, strict=True)]
    return _scores(values, names)


def parse_json_answer(answer: str, names: Sequence[Name]) -> tuple[float, ...]:
    """Scores from {"present": [{"id": 2, "name": "bicycle", "confidence": 95}]}, alone or with words around it.

    Args:
        answer: the model's text; the first JSON object in it counts.
        names: what was asked for; ids are 1-based.

    Raises:
        MalformedAnswer: no such object, fields missing, or numbers of other names.
    """
    _refuse_long(answer)
    start = answer.find("{")
    if start < 0:
        raise MalformedAnswer(f"no JSON object in {answer!r:.{_SHOWN}}")
    try:
        found, _ = json.JSONDecoder().raw_decode(answer, start)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise MalformedAnswer(f"incomplete JSON in {answer!r:.{_SHOWN}} ({reason!s:.{_SHOWN}})") from error
    listed = found.get("present")
    if not isinstance(listed, list):
        raise MalformedAnswer(f'no list "present" in {answer!r:.{_SHOWN}}')
    return _scores([_fields(item, answer) for item in listed], names)


def _refuse_long(answer: str) -> None:
    if len(answer) > LONGEST:
        raise MalformedAnswer(f"an answer of {len(answer)} characters, more than {LONGEST}: {answer[:40]!r}...")


def _numbered(part: str) -> tuple[int, str] | None:
    """(8, "cat") from " 8: 'cat'"; None where there is no number."""
    number, colon, word = part.partition(":")
    number = number.strip()
    if not colon or not number.isdecimal() or len(number) > 6:
        return None
    return int(number), word.strip().strip("'\"")


def _fields(item: Any, answer: str) -> tuple[int, str, float]:
    try:
        return int(item["id"]), str(item["name"]), float(item["confidence"])
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise MalformedAnswer(f"{item!r:.60} lacks id, name or confidence, in {answer!r:.{_SHOWN}}") from error


def _scores(values: Sequence[tuple[int, str, float]], names: Sequence[Name]) -> tuple[float, ...]:
    scores = [0.0] * len(names)
    for number, word, percent in values:
        if not 1 <= number <= len(names):
            raise MalformedAnswer(f"number {number!s:.12} ({word!r:.60}) is none of the {len(names)} names")
        if not any(_alike(word, own) for own in names[number - 1].all):
            raise MalformedAnswer(f"number {number} is {names[number - 1]}, the answer calls it {word!r:.60}")
        if not 0 <= percent <= 100:
            raise MalformedAnswer(f"{percent:g}% of {word!r:.60} is no percentage")
        scores[number - 1] = max(scores[number - 1], percent / 100)
    return tuple(scores)


def _alike(answered: str, own: str) -> bool:
    """Whether two spellings mean one name: "table" and "dining table", "tvmonitor" and "tv monitor"."""
    a, b = ("".join(letter for letter in word.casefold() if letter.isalnum()) for word in (answered, own))
    return bool(a and b) and (a in b or b in a)
