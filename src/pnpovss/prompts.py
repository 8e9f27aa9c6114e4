"""From names to what the text encoder reads: "A picture of <names>" and the tokens that belong to each name.

Spans are found by token offsets in the text, never by the look of word pieces, so phrases, synonyms and words that the
tokenizer cuts into many pieces are all alike.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pnpovss.errors import NamesError
from pnpovss.structures import Name, TextTokens

__all__ = ["PREFIX", "NameLike", "Prompt", "build_prompts", "parse_names"]

PREFIX = "A picture of"  # the paper's prompt
UNKNOWN = "[UNK]"  # the piece that BERT vocabularies have for what they cannot write

NameLike = str | Sequence[str] | Name


@dataclass(frozen=True)
class Prompt:
    """One text over some of the names.

    Attributes:
        text: what the text encoder reads.
        tokens: the same, tokenised.
        names: which of the caller's names it asks for, as indices.
        name_tokens: for each of those, the indices of its tokens, synonyms included.
        words: the words of the text, prefix included.
        word_tokens: for each word, the indices of its tokens.
    """

    text: str
    tokens: TextTokens
    names: tuple[int, ...]
    name_tokens: tuple[tuple[int, ...], ...]
    words: tuple[str, ...]
    word_tokens: tuple[tuple[int, ...], ...]


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


def build_prompts(
    names: Sequence[Name],
    tokenize: Callable[[str], TextTokens],
    max_tokens: int,
    *,
    squash: bool = False,
) -> tuple[Prompt, ...]:
    """Write the names into as few prompts as the text encoder's length allows; usually one.

    Args:
        names: from `parse_names`.
        tokenize: the backbone's tokenizer.
        max_tokens: longest prompt, special tokens included.
        squash: write each name as one word ("pottedplant"), as the authors do.

    Raises:
        NamesError: a name that does not fit into a prompt even alone, or that the vocabulary cannot write at all.
    """
    groups: list[list[int]] = [[]]
    for index, name in enumerate(names):
        alone = _prompt([name], [index], tokenize, squash)
        _refuse_unreadable(name, alone, max_tokens)
        together = [*groups[-1], index]
        if len(_prompt([names[i] for i in together], together, tokenize, squash).tokens) <= max_tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return tuple(_prompt([names[i] for i in group], group, tokenize, squash) for group in groups)


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


def _prompt(
    names: Sequence[Name], indices: Sequence[int], tokenize: Callable[[str], TextTokens], squash: bool
) -> Prompt:
    text, spans = PREFIX, []
    for name in names:
        start = len(text) + 1
        written = [word.replace(" ", "") if squash else word for word in name.all]
        text += " " + " ".join(written)
        spans.append((start, len(text)))
    tokens = tokenize(text)
    words = _word_spans(text)
    return Prompt(
        text=text,
        tokens=tokens,
        names=tuple(indices),
        name_tokens=tuple(_tokens_within(tokens, span) for span in spans),
        words=tuple(text[start:end] for start, end in words),
        word_tokens=tuple(_tokens_within(tokens, span) for span in words),
    )


def _word_spans(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for word in text.split(" "):
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


def _tokens_within(tokens: TextTokens, span: tuple[int, int]) -> tuple[int, ...]:
    """Indices of the tokens that cover a character of the span; special tokens cover none."""
    start, end = span
    return tuple(i for i, (s, e) in enumerate(tokens.offsets) if s < e and s < end and e > start)


def _refuse_unreadable(name: Name, alone: Prompt, max_tokens: int) -> None:
    shown = name.text if len(name.text) <= 60 else f"{name.text[:57]}..."
    if len(alone.tokens) > max_tokens:
        raise NamesError(
            f"name {shown!r} is too long: {len(alone.tokens)} tokens with the prompt around it, "
            f"the text encoder takes {max_tokens}; shorten it"
        )
    if all(alone.tokens.pieces[i] == UNKNOWN for i in alone.name_tokens[0]):
        raise NamesError(f"the model's vocabulary cannot write the name {shown!r}; say it in English words")
