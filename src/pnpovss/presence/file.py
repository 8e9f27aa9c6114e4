"""Names from a file that was made before: a JSON object with an answer for each photo."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pnpovss.errors import InvalidInputError, PresenceError
from pnpovss.files.json import from_json
from pnpovss.files.keys import photo_key
from pnpovss.images import PHOTO_SUFFIXES
from pnpovss.names import Name, spelling, word_places
from pnpovss.presence.base import Photo, Presence, Report, few_digits
from pnpovss.presence.llm.answers import MalformedAnswer, parse_listed_answer
from pnpovss.presence.rules import Rule
from pnpovss.presence.spec import PresenceContext, PresenceSpec
from pnpovss.printable import first_of

__all__ = ["FILE", "FILE_RULE", "FromFile"]

logger = logging.getLogger(__name__)

FILE_RULE = Rule(above=0.7)  # the paper keeps what GPT-4o is more than 70% sure of
SHOWN = 5  # photos of each fault in a message


class FromFile:
    """Looks each photo up in {"2007_000033": answer, "holiday/beach.jpg": answer, ...}.

    A key is that of a data set, or the end of a photo's path, with or without its suffix; the longest that fits counts.
    No two photos share an answer: where a short key fits both, both are refused.

    An answer is a list of names (["cat", "potted plant"]), an object of names and scores in [0, 1] ({"cat": 0.9}), or
    a string in the form of the paper's GPT-4o answers ("[8: 'cat', 9: 'chair'], [95%, 60]"), whose numbers count the
    names from 1. A string that cannot be understood names nothing; such answers are counted and reported.

    Attributes:
        path: the file.
        rule: turns scores into a decision; an answer that names nothing at all keeps nothing.
    """

    def __init__(self, path: str | Path, rule: Rule = FILE_RULE, photos: Iterable[str] = ()) -> None:
        """Read the file.

        Args:
            path: of the file.
            rule: turns scores into a decision.
            photos: keys or paths of all photos that will be asked about, where that is known: what two of them would
                share is then refused for the first of them, too.

        Raises:
            PresenceError: it cannot be read, or an answer is of no known form.
        """
        self.path = Path(path)
        self.rule = rule
        self._answers = _read(self.path)
        self._digest = few_digits(self._answers)
        self._takers: dict[str, list[str]] = {}  # by key of an answer: the photos that it fits
        self._asked: set[str] = set()
        self._malformed: set[str] = set()
        self._empty: set[str] = set()
        for photo in photos:
            self._find(photo)

    @property
    def key(self) -> str:
        """The file's name, a few digits of a checksum of its answers, and the rule."""
        return f"file:{self.path.name}@{self._digest}:{self.rule}"

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """See `PresenceFilter.decide`.

        Raises:
            PresenceError: the file has no answer for this photo, or one that another photo would share, or names
                something that was not asked for.
        """
        key = self._answer_key(photo.key)
        self._asked.add(key)
        try:
            scores = self._scores(key, names)
        except MalformedAnswer as error:
            if key not in self._malformed:
                logger.warning("%s, %s: %s; taken as naming nothing", self.path.name, key, error)
            self._malformed.add(key)
            return Presence((), (0.0,) * len(names), note=f"malformed answer: {error}")
        if not any(scores):
            self._empty.add(key)
            return Presence((), scores)
        return Presence(self.rule.keep(scores), scores)

    def check_photos(self, photos: Sequence[str], names: Sequence[Name]) -> None:
        """See `AnswersReady.check_photos`; an answer that cannot be understood is none of the faults."""
        found = {photo: self._find(photo) for photo in photos}
        keys = list(dict.fromkeys(key for key in found.values() if key is not None))
        known = word_places(names)
        lacking = [repr(photo) for photo, key in found.items() if key is None]
        shared = [f"{key!r} ({len(self._takers[key])} photos)" for key in keys if len(self._takers[key]) > 1]
        strange = [f"{word!r:.80} of {key!r}" for key in keys for word in _strange(self._answers[key], known)]
        faults = {
            "photos without names": lacking,
            "keys that fit several photos, and have to hold more of their paths": shared,
            f"words that are none of the {len(names)} names asked for": strange,
        }
        if told := [f"{fault}: {len(each)} ({first_of(each, SHOWN)})" for fault, each in faults.items() if each]:
            raise PresenceError(
                f"{self.path} does not fit the {len(found)} photos; {'; '.join(told)}. It has {len(self._answers)} "
                f"photos, such as {next(iter(self._answers), None)!r}"
            )

    def report(self) -> Report:
        """Photos asked for, and how many answers were malformed or named nothing."""
        return {"photos": len(self._asked), "malformed": len(self._malformed), "empty": len(self._empty)}

    def _answer_key(self, photo: str | None) -> str:
        found = None if photo is None else self._find(photo)
        if found is None:
            raise PresenceError(
                f"{self.path} has no names for photo {photo!r}; it has {len(self._answers)} photos, "
                f"such as {next(iter(self._answers), None)!r}"
            )
        if len(takers := self._takers[found]) > 1:
            raise PresenceError(
                f"{self.path}: {found!r} fits {len(takers)} photos, such as {takers[0]!r} and {takers[1]!r}; "
                f"write more of their paths as keys, such as {_longer(takers[0], found)!r}"
            )
        return found

    def _find(self, photo: str) -> str | None:
        """The longest key that fits a photo, which is noted as one that takes it; None where none fits."""
        photo = photo_key(photo)
        parts = PurePosixPath(photo).parts
        for tail in ("/".join(parts[start:]) for start in range(len(parts))):
            for key in (tail, _without_suffix(tail)):
                if key in self._answers:
                    takers = self._takers.setdefault(key, [])
                    if photo not in takers:
                        takers.append(photo)
                    return key
        return None

    def _scores(self, key: str, names: Sequence[Name]) -> tuple[float, ...]:
        answer = self._answers[key]
        if isinstance(answer, str):
            return parse_listed_answer(answer, names)
        known = word_places(names)
        if strange := _strange(answer, known):
            raise PresenceError(f"{self.path}, {key}: {strange[0]!r:.80} is none of the {len(names)} names asked for")
        given = answer if isinstance(answer, dict) else dict.fromkeys(answer, 1.0)
        scores = [0.0] * len(names)
        for word, score in given.items():
            index = known[spelling(word)]
            scores[index] = max(scores[index], float(score))
        return tuple(scores)


def _strange(answer: Any, known: Mapping[str, int]) -> list[str]:
    """The words of an answer that stand for none of the names; answer texts are read with their numbers."""
    return [] if isinstance(answer, str) else [word for word in answer if spelling(word) not in known]


def _read(path: Path) -> dict[str, Any]:
    try:
        answers = from_json(path.read_text(encoding="utf-8-sig"), unique=True)
    except FileNotFoundError as error:
        raise PresenceError(f"{path} does not exist; it names what each photo shows") from error
    except (OSError, UnicodeDecodeError, InvalidInputError) as error:
        raise PresenceError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(answers, dict):
        raise PresenceError(f'{path} holds a {type(answers).__name__}; expected an object: {{"PHOTO": ["cat"], ...}}')
    for key, answer in answers.items():
        if not _usable(answer):
            raise PresenceError(
                f"{path}, {key!r:.80}: {answer!r:.80} is neither a list of names, an object of names and scores in "
                f"[0, 1], nor an answer text"
            )
    by_key = {photo_key(key): answer for key, answer in answers.items()}
    if len(by_key) < len(answers):
        raise PresenceError(f"{path} has two answers for one photo, of which the keys differ only in Unicode or a ./")
    return by_key


def _usable(answer: Any) -> bool:
    if isinstance(answer, list):
        return all(isinstance(word, str) for word in answer)
    if isinstance(answer, dict):
        return all(isinstance(score, int | float) and 0 <= score <= 1 for score in answer.values())
    return isinstance(answer, str)


def _without_suffix(key: str) -> str:
    suffix = PurePosixPath(key).suffix
    return key.removesuffix(suffix) if suffix.lower() in PHOTO_SUFFIXES else key


def _longer(photo: str, key: str) -> str:
    """The end of a photo's path with a folder more than a key has."""
    return "/".join(PurePosixPath(photo).parts[-len(PurePosixPath(key).parts) - 1 :])


def _make(argument: str, context: PresenceContext) -> FromFile:
    if not argument:
        raise PresenceError("'file' needs more: file:PATH")
    return FromFile(Path(argument), context.rule or FILE_RULE, context.photos)


FILE = PresenceSpec(
    key="file",
    summary="file:PATH, a JSON object with names for each photo, also the paper's GPT-4o answers",
    make=_make,
)
