"""Which of many names are in a photo: what a filter is asked, and what it answers."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

from pnpovss.errors import PresenceError
from pnpovss.images import ImageSource
from pnpovss.names import Name

__all__ = ["AnswersReady", "Photo", "Presence", "PresenceFilter", "Report", "UnansweredError", "few_digits"]

Report = dict[str, float | int | str]


class UnansweredError(PresenceError):
    """A filter has no answer about one photo, however often it is asked; about the next it may have one."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo that a filter is asked about.

    Attributes:
        image: its pixels, or where they are.
        key: its key in its data set, or its path; `file` looks it up. None where it has none.
        truth: indices of the names that its mask holds; only `oracle` may use it. None where there is no mask.
    """

    image: ImageSource
    key: str | None = None
    truth: Sequence[int] | None = None


@dataclass(frozen=True)
class Presence:
    """Which names a filter holds to be in one photo.

    Attributes:
        kept: indices into the names, ascending; empty only where the filter was told that nothing is there
            (`oracle` for a photo of background alone, `file` and `llm` where the answer names nothing).
        scores: one for every name, the best of its synonyms; greater is more likely. In [0, 1], except for cosines
            (`itc`).
        note: what went wrong and was got round, for the log and the record; None when nothing did.

    Raises:
        PresenceError: a score that is not finite, or indices that are not those of names, or not ascending.
    """

    kept: tuple[int, ...]
    scores: tuple[float, ...]
    note: str | None = None

    def __post_init__(self) -> None:
        if bad := [score for score in self.scores if not math.isfinite(score)]:
            raise PresenceError(f"a presence filter gave the score {bad[0]}; expected finite numbers")
        if list(self.kept) != sorted({index for index in self.kept if 0 <= index < len(self.scores)}):
            raise PresenceError(
                f"a presence filter kept {list(self.kept)[:20]} of {len(self.scores)} names; expected their indices "
                f"from 0, ascending, each once"
            )


@runtime_checkable
class PresenceFilter(Protocol):
    """Decides which names are in a photo."""

    @property
    def key(self) -> str:
        """The filter with its rule, as results record it ("itm:0.9"); another key wherever it may decide otherwise."""
        ...

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """Decide for one photo.

        Args:
            photo: what is looked at, and what is known of it.
            names: which of these are there? What a filter computes of them is kept for the next photo.

        Raises:
            PresenceError: the filter needs what was not given, or could not be asked.
            UnansweredError: it was asked, and has no answer about this photo.
        """
        ...

    def report(self) -> Report:
        """What happened so far, for the record: photos, failures, malformed answers, tokens; may be empty."""
        ...


@runtime_checkable
class AnswersReady(Protocol):
    """A filter whose answers were made before, so that what is wrong with them can be told before the first photo."""

    def check_photos(self, photos: Sequence[str], names: Sequence[Name]) -> None:
        """Refuse what `decide` would refuse later; nothing is counted as asked.

        Args:
            photos: the keys of all photos that will be asked about.
            names: which will be asked for.

        Raises:
            PresenceError: some of them have no answer that can be used; all are told at once.
        """
        ...


def few_digits(value: Any) -> str:
    """Digits of a checksum of what JSON can say: what a filter's key holds of all that its decisions depend on."""
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=4).hexdigest()
