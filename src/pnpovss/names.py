"""Names: what is looked for, from Python or from a file, checked and brought into one form."""

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pnpovss.errors import NamesError
from pnpovss.sentences import is_sentence, things_in

__all__ = [
    "ListedNames",
    "Name",
    "NameLike",
    "parse_names",
    "parse_names_text",
    "read_names_file",
    "spelling",
    "word_places",
]

logger = logging.getLogger(__name__)

# Beside Unicode's category Cf: fillers, joiners and variation selectors, which show nothing either.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_NO_TEXT = frozenset({"Cc", "Cs", "Cn", "Co"})  # control, surrogate, not assigned, private use
_NUMBERED = re.compile(r"(\d{1,6})\s*(?:[:)]\s*|\.\s+|\t\s*)(?=\D)(.*)")  # "3: cat", "3) cat", "3. cat", "3<tab>cat"
_NUMBERED_BY_SPACE = re.compile(r"(\d{1,6})\s+(?=\D)(.*)")  # "3 cat", also a name: "7 up"; a number where they ascend
_LETTER_AND_DOT = re.compile(r"(?:[^\W\d]\.)+")  # "J.", "U.S."
_ABBREVIATIONS = frozenset({"st.", "mt.", "ft.", "dr.", "mr.", "mrs.", "ms.", "jr.", "sr.", "no.", "vs.", "etc."})
_SHOWN = 80  # characters of an unusable name that a message repeats


@dataclass(frozen=True)
class Name:
    """A thing to look for.

    Attributes:
        text: the name results carry; may be a phrase ("potted plant").
        synonyms: other words for the same thing; all are written into the prompt.
    """

    text: str
    synonyms: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """The name and its synonyms."""
        return (self.text, *self.synonyms)

    def __str__(self) -> str:
        return self.text


NameLike = str | Sequence[str] | Name


@dataclass(frozen=True)
class ListedNames:
    """What a names file holds.

    Attributes:
        names: the things to look for, in the order of their lines; a line that says background is none of them.
        values: for each name the number written before it, else the number of lines above its own. In a positional
            list that is its mask value.
        background: the same for the line that says background; None where no line does.
        numbered: whether numbers are written before the names.
    """

    names: tuple[Name, ...]
    values: tuple[int, ...]
    background: int | None
    numbered: bool


def parse_names(names: Iterable[NameLike]) -> tuple[Name, ...]:
    """Check names and bring them into one form: Unicode's composed one (NFC), single spaces, nothing invisible.

    Args:
        names: each a string ("potted plant"), a sequence of synonyms (["sofa", "couch"]; the first is the name that
            results carry), or a `Name`.

    Raises:
        NamesError: no name at all, an empty one, one that is no text, several in one string, a background, or the
            same one twice (upper and lower case, Unicode's compatible forms and invisible characters count as equal).
    """
    if isinstance(names, str):
        as_list = list(things_in(names)) if is_sentence(names) else [names]
        raise NamesError(f"names must be a list of names, got one string {names!r}; write {as_list!r}")
    if isinstance(names, Set | Mapping) or not isinstance(names, Iterable):
        raise NamesError(
            f"names must be a list of names, got {type(names).__name__}; labels follow the order of the list"
        )
    parsed = tuple(_parse_name(name) for name in names)
    if not parsed:
        raise NamesError("no names were given; name at least one thing to look for, such as 'cat'")
    seen: dict[str, str] = {}
    for name in parsed:
        for word in name.all:
            key = spelling(word)
            if key in seen:
                other = f"the same word as in {seen[key]!r}" if seen[key] != name.text else "named twice"
                raise NamesError(f"name {word!r} is {other}; give every name and synonym once")
            seen[key] = name.text
    return parsed


def spelling(word: str) -> str:
    """A word by which spellings that a reader takes for the same one are equal; for comparing, not for showing."""
    folded = unicodedata.normalize("NFKC", _visible(word)).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def word_places(names: Sequence[Name]) -> dict[str, int]:
    """The place of the name that each word stands for, by the word's spelling."""
    return {spelling(word): i for i, name in enumerate(names) for word in name.all}


def read_names_file(path: Path, *, positional: bool = False) -> ListedNames:
    """Names from a text file, one a line, synonyms after commas; numbers before all of the names are understood.

    Args:
        path: UTF-8 text.
        positional: the lines are the classes of index masks, so that none may be skipped, and none be a remark. Else
            blank lines, and lines that start with "#", are skipped.

    Raises:
        NamesError: missing, not UTF-8 text, without names, or a line that cannot be used; its number is told.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NamesError(f"{path} is not UTF-8 text; save the names as a plain text file") from error
    except FileNotFoundError as error:
        raise NamesError(f"cannot read the names in {path}: no such file; it names one thing a line") from error
    except (OSError, ValueError) as error:
        raise NamesError(f"cannot read the names in {path}: {getattr(error, 'strerror', None) or error}") from error
    return parse_names_text(text, str(path), positional=positional)


def parse_names_text(text: str, source: str, *, positional: bool = False) -> ListedNames:
    """Names from the text of a names file; `source` stands for it in messages. See `read_names_file`."""
    lines = _lines(text, source, positional=positional)
    numbered = _numbers(lines, source)
    if numbered:
        use = "are taken as mask values" if positional else "are left out"
        logger.warning("%s: the numbers before the names %s", source, use)
    names: list[Name] = []
    values: list[int] = []
    background: int | None = None
    first_line: dict[str, int] = {}
    for position, (number, line) in enumerate(lines):
        value, line = numbered[position] if numbered else (position, line)
        try:
            if background is None and _is_background(line.split(",")[0]):
                background = value
                if not positional:
                    logger.warning("%s, line %d: %r is nothing to look for, and is left out", source, number, line)
                continue
            [name] = parse_names([line.split(",")])
        except NamesError as error:
            raise NamesError(f"{source}, line {number}: {error}") from error
        for word in name.all:
            if (before := first_line.setdefault(spelling(word), number)) != number:
                raise NamesError(f"{source}, line {number}: {word!r} was given before, in line {before}; remove one")
        names.append(name)
        values.append(value)
    if len(names) == len(lines) == 1 and len(names[0].all) > 1 and not positional:
        logger.warning(
            "%s: one line is one name, %r, with the synonyms %s; for names apart write each on a line of its own",
            source,
            names[0].text,
            ", ".join(map(repr, names[0].synonyms)),
        )
    if not names and (background is None or not positional):
        raise NamesError(f"{source} holds no names; write one a line, with synonyms after commas")
    return ListedNames(tuple(names), tuple(values), background, bool(numbered))


def _lines(text: str, source: str, *, positional: bool) -> list[tuple[int, str]]:
    """(line number from 1, text) of the lines that count."""
    lines = [(number, line.strip()) for number, line in enumerate(text.rstrip().splitlines(), start=1)]
    if not positional:
        return [(number, line) for number, line in lines if line and not line.startswith("#")]
    for number, line in lines:
        if not line or line.startswith("#"):
            raise NamesError(
                f"{source}, line {number} is {'a remark' if line else 'empty'}; "
                f"each line is a class, and its number tells its mask value: remove the line"
            )
    return lines


def _numbers(lines: Sequence[tuple[int, str]], source: str) -> list[tuple[int, str]]:
    """(number, name) of each line where all lines start with a number; empty where none does.

    Raises:
        NamesError: only some lines start with a number, or two with the same one.
    """
    by_space = [_NUMBERED_BY_SPACE.fullmatch(line) for _, line in lines]
    counted = [int(match[1]) for match in by_space if match]
    ascend = len(counted) == len(lines) > 1 and all(before < after for before, after in pairwise(counted))
    matches = [_NUMBERED.fullmatch(line) or (by_space[i] if ascend else None) for i, (_, line) in enumerate(lines)]
    numbered = [(int(match[1]), match[2]) for match in matches if match]
    if numbered and len(numbered) < len(lines):
        number, line = next(line for line, match in zip(lines, matches, strict=True) if match is None)
        raise NamesError(f"{source}, line {number}: {line!r} has no number before it, as other lines do; number all")
    if len({value for value, _ in numbered}) < len(numbered):
        raise NamesError(f"{source}: two lines start with the same number; give each class its own")
    return numbered


def _parse_name(name: NameLike) -> Name:
    words = name.all if isinstance(name, Name) else [name] if isinstance(name, str) else name
    if not isinstance(words, Sequence) or not words or not all(isinstance(word, str) for word in words):
        raise NamesError(f"a name is a string or a list of synonyms, got {name!r:.{_SHOWN}}")
    cleaned = [_clean(word) for word in words]
    if not all(cleaned):
        raise NamesError(f"an empty name was given ({name!r:.{_SHOWN}}); remove it or write a word (an extra comma?)")
    for word in cleaned:
        _refuse_what_is_no_name(word)
    return Name(cleaned[0], tuple(cleaned[1:]))


def _clean(word: str) -> str:
    for letter in word:
        if unicodedata.category(letter) in _NO_TEXT and not letter.isspace():
            raise NamesError(
                f"name {word!r:.{_SHOWN}} holds {letter!r}, which is no text (a control character, half of a "
                f"surrogate pair, or a code that has no meaning); remove it"
            )
    return " ".join(unicodedata.normalize("NFC", _visible(word)).split())


def _visible(word: str) -> str:
    return _INVISIBLE.sub("", "".join(letter for letter in word if unicodedata.category(letter) != "Cf"))


def _refuse_what_is_no_name(word: str) -> None:
    """Refuse what other programs' lists hold: numbers, a background, other separators than commas."""
    if numbered := _NUMBERED.fullmatch(word):
        raise NamesError(f"name {word!r:.{_SHOWN}} starts with a number; write {numbered[2]!r:.{_SHOWN}} alone")
    if _is_background(word):
        raise NamesError(
            f"{word!r} is nothing to look for: what is none of the names is background by itself; leave it out"
        )
    if (names := _split_as_others_do(word)) != [word]:
        together = ", ".join(names) or "cat, sofa"
        raise NamesError(
            f"{word!r:.{_SHOWN}} is not one name: names are separated by commas on the command line, and are items "
            f'of a list in Python; write "{together:.{_SHOWN}}", or {names or ["cat", "sofa"]!r:.{_SHOWN}}'
        )


def _split_as_others_do(word: str) -> list[str]:
    """["cat", "sofa"] from "cat, sofa", "cat; sofa", "cat | sofa" or "cat. sofa."; abbreviations keep their stops."""
    names: list[list[str]] = [[]]
    for part in re.sub(r" ?[,;|] ?", "; ", word).split(" "):
        ends_name = part.endswith(";") or (part.endswith(".") and not _is_abbreviation(part))
        names[-1].append(part.rstrip(";.") if ends_name else part)
        if ends_name:
            names.append([])
    return [name for parts in names if (name := " ".join(parts).strip())]


def _is_abbreviation(part: str) -> bool:
    return part.casefold() in _ABBREVIATIONS or _LETTER_AND_DOT.fullmatch(part) is not None


def _is_background(word: str) -> bool:
    """Whether a word is one of the usual ones for "none of the names": background, _background_, __background__."""
    return spelling(word).strip("_ ") == "background"
