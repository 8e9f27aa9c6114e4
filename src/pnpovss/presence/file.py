"""Names from a file that was made before: a JSON object with an answer for each photo."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pnpovss.errors import PresenceError
from pnpovss.images import ImageSource
from pnpovss.names import Name
from pnpovss.presence.base import Presence, Report, Rule
from pnpovss.presence.llm.answers import MalformedAnswer, parse_listed_answer

__all__ = ["FILE_RULE", "FromFile"]

logger = logging.getLogger(__name__)

FILE_RULE = Rule(above=0.7)  # the paper keeps what GPT-4o is more than 70% sure of


class FromFile:
    """Looks each photo up in {"2007_000033": answer, ...}.

    An answer is a list of names (["cat", "potted plant"]), an object of names and scores in [0, 1] ({"cat": 0.9}), or
    a string in the form of the paper's GPT-4o answers ("[8: 'cat', 9: 'chair'], [95%, 60]"), whose numbers count the
    vocabulary from 1. A string that cannot be understood names nothing; such answers are counted and reported.

    Attributes:
        path: the file.
        rule: turns scores into a decision; an answer that names nothing at all keeps nothing.
    """

    def __init__(self, path: str | Path, rule: Rule = FILE_RULE) -> None:
        self.path = Path(path)
        self.rule = rule
        self._answers = _read(self.path)
        self._asked: set[str] = set()
        self._malformed: set[str] = set()
        self._empty: set[str] = set()

    @property
    def key(self) -> str:
        """The file and the rule."""
        return f"file:{self.path.name}:{self.rule}"

    def decide(
        self,
        image: ImageSource,
        names: Sequence[Name],
        sample_key: str | None = None,
        truth: Sequence[int] | None = None,
    ) -> Presence:
        """See `PresenceFilter.decide`.

        Raises:
            PresenceError: the file has no answer for this photo, or names something that is not in the vocabulary.
        """
        if sample_key is None or sample_key not in self._answers:
            raise PresenceError(
                f"{self.path} has no names for photo {sample_key!r}; it has {len(self._answers)} photos, "
                f"such as {next(iter(self._answers), None)!r}"
            )
        self._asked.add(sample_key)
        try:
            scores = self._scores(sample_key, names)
        except MalformedAnswer as error:
            if sample_key not in self._malformed:
                logger.warning("%s, %s: %s; taken as naming nothing", self.path.name, sample_key, error)
            self._malformed.add(sample_key)
            return Presence((), (0.0,) * len(names), note=f"malformed answer: {error}")
        if not any(scores):
            self._empty.add(sample_key)
            return Presence((), scores)
        return Presence(self.rule.keep(scores), scores)

    def report(self) -> Report:
        """Photos asked for, and how many answers were malformed or named nothing."""
        return {"photos": len(self._asked), "malformed": len(self._malformed), "empty": len(self._empty)}

    def _scores(self, sample_key: str, names: Sequence[Name]) -> tuple[float, ...]:
        answer = self._answers[sample_key]
        if isinstance(answer, str):
            return parse_listed_answer(answer, names)
        given = answer if isinstance(answer, dict) else dict.fromkeys(answer, 1.0)
        known = {word.casefold(): i for i, name in enumerate(names) for word in name.all}
        scores = [0.0] * len(names)
        for word, score in given.items():
            if word.casefold() not in known:
                raise PresenceError(f"{self.path}, {sample_key}: {word!r} is none of the {len(names)} names asked for")
            index = known[word.casefold()]
            scores[index] = max(scores[index], float(score))
        return tuple(scores)


def _read(path: Path) -> dict[str, Any]:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PresenceError(f"{path} does not exist; it names what each photo shows") from error
    except (OSError, ValueError) as error:
        raise PresenceError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(answers, dict):
        raise PresenceError(f'{path} holds a {type(answers).__name__}; expected an object: {{"PHOTO": ["cat"], ...}}')
    for key, answer in answers.items():
        if not _usable(answer):
            raise PresenceError(
                f"{path}, {key}: {answer!r:.80} is neither a list of names, an object of names and scores in [0, 1], "
                f"nor an answer text"
            )
    return answers


def _usable(answer: Any) -> bool:
    if isinstance(answer, list):
        return all(isinstance(word, str) for word in answer)
    if isinstance(answer, dict):
        return all(isinstance(score, int | float) and 0 <= score <= 1 for score in answer.values())
    return isinstance(answer, str)
