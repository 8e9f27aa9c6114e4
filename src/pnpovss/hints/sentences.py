"""Names that read like sentences, told before anything is looked for."""

from collections.abc import Sequence

from pnpovss.names import Name
from pnpovss.sentences import is_sentence, things_in

__all__ = ["sentences"]


def sentences(names: Sequence[Name]) -> list[str]:
    """A line for each name that reads like a sentence: what becomes of it, and how its things are asked for.

    It is looked for all the same: "man in a red jacket on a horse" may well be meant as one thing.
    """
    return [
        f"{word!r} reads like a sentence; it is one name and gets one region. For a region per thing: "
        f'--names "{", ".join(things_in(word))}"'
        for name in names
        for word in name.all
        if is_sentence(word)
    ]
