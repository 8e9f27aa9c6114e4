"""From names to what the text encoder reads: "A picture of <names>" and the tokens that belong to each name.

Spans are found by token offsets in the text, never by the look of word pieces, so phrases, synonyms and words that the
tokenizer cuts into many pieces are all alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pnpovss.errors import NamesError
from pnpovss.names import Name

__all__ = ["PREFIX", "Prompt", "TextTokens", "build_prompts"]

PREFIX = "A picture of"  # the paper's prompt
UNKNOWN = "[UNK]"  # the piece that BERT vocabularies have for what they cannot write


@dataclass(frozen=True)
class TextTokens:
    """One text as the text encoder reads it, special tokens included.

    Attributes:
        ids: token ids; ids[0] is what the match head reads ([ENC] in BLIP).
        pieces: the token strings, for display.
        offsets: [start, end) characters of the text that each token covers; (0, 0) for special tokens.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.ids)


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
