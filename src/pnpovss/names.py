"""Names: what is looked for, checked and brought into one form."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pnpovss.errors import NamesError

__all__ = ["Name", "NameLike", "parse_names"]


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


def parse_names(names: Iterable[NameLike]) -> tuple[Name, ...]:
    """Check names and bring them into one form.

    Args:
        names: each a string ("potted plant"), a sequence of synonyms (["sofa", "couch"]; the first is the name that
            results carry), or a `Name`.

    Raises:
        NamesError: no name at all, an empty one, or the same one twice (upper and lower case count as the same).
    """
    if isinstance(names, str):
        raise NamesError(f"names must be a list of names, got one string {names!r}; write [{names!r}]")
    parsed = tuple(_parse_name(name) for name in names)
    if not parsed:
        raise NamesError("no names were given; name at least one thing to look for, such as 'cat'")
    seen: dict[str, str] = {}
    for name in parsed:
        for word in name.all:
            key = word.casefold()
            if key in seen:
                other = f"the same word as in {seen[key]!r}" if seen[key] != name.text else "named twice"
                raise NamesError(f"name {word!r} is {other}; give every name and synonym once")
            seen[key] = name.text
    return parsed


def _parse_name(name: NameLike) -> Name:
    if isinstance(name, Name):
        return name
    words = [name] if isinstance(name, str) else name
    if not isinstance(words, Sequence) or not words or not all(isinstance(word, str) for word in words):
        raise NamesError(f"a name is a string or a list of synonyms, got {name!r}")
    cleaned = [" ".join(word.split()) for word in words]
    if not all(cleaned):
        raise NamesError(f"an empty name was given ({name!r}); remove it or write a word")
    return Name(cleaned[0], tuple(cleaned[1:]))
