"""From names to what the text encoder reads ("A picture of <names>") and the tokens that belong to each name.

Spans are found by token offsets in the text, never by the look of word pieces, so phrases, synonyms and words that the
tokenizer cuts into many pieces are all alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pnpovss.errors import NamesError
from pnpovss.names import Name

__all__ = ["PREFIX", "PROMPT", "Prompt", "Prompts", "TextTokens", "build_prompts"]

PREFIX = "A picture of"  # the paper's prompt, without names
PROMPT = f"{PREFIX} {{}}"  # {} is where the names stand


@dataclass(frozen=True)
class TextTokens:
    """One text as the text encoder reads it, special tokens included.

    Attributes:
        ids: token ids.
        pieces: the token strings, for display.
        offsets: [start, end) characters of the text that each token covers; (0, 0) for special tokens.
        unknown: indices of the tokens that stand for what the vocabulary cannot write.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    unknown: tuple[int, ...] = ()

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
        words: the words of the text, those around the names included.
        word_tokens: for each word, the indices of its tokens.
        words_of_names: which of the words belong to names, as indices.
    """

    text: str
    tokens: TextTokens
    names: tuple[int, ...]
    name_tokens: tuple[tuple[int, ...], ...]
    words: tuple[str, ...]
    word_tokens: tuple[tuple[int, ...], ...]
    words_of_names: tuple[int, ...]

    def read_at(self, token: int) -> "Prompt":
        """The same prompt, each name read at one token of the whole, counted from the end where negative."""
        return replace(self, name_tokens=((token % len(self.tokens),),) * len(self.names))


@dataclass(frozen=True)
class Prompts:
    """All that is asked of one image: usually one prompt, several where the names do not fit into one.

    Tokens and words are counted through all prompts in order, as a backbone returns their maps.
    """

    each: tuple[Prompt, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """What the text encoder reads."""
        return tuple(prompt.text for prompt in self.each)

    @property
    def tokens(self) -> list[TextTokens]:
        """The same, tokenised."""
        return [prompt.tokens for prompt in self.each]

    @property
    def words(self) -> tuple[str, ...]:
        """The words of all prompts."""
        return tuple(word for prompt in self.each for word in prompt.words)

    @property
    def name_tokens(self) -> list[tuple[int, ...]]:
        """For each name, its tokens."""
        return self._through_all("name_tokens")

    @property
    def word_tokens(self) -> list[tuple[int, ...]]:
        """For each word, its tokens."""
        return self._through_all("word_tokens")

    @property
    def words_of_names(self) -> tuple[int, ...]:
        """Which of `words` belong to names, as indices."""
        found, start = [], 0
        for prompt in self.each:
            found += [start + word for word in prompt.words_of_names]
            start += len(prompt.words)
        return tuple(found)

    def _through_all(self, attribute: str) -> list[tuple[int, ...]]:
        groups, start = [], 0
        for prompt in self.each:
            groups += [tuple(start + token for token in group) for group in getattr(prompt, attribute)]
            start += len(prompt.tokens)
        return groups


def build_prompts(
    names: Sequence[Name],
    tokenize: Callable[[str], TextTokens],
    max_tokens: int,
    *,
    squash: bool = False,
    joint: bool = True,
    wording: str = PROMPT,
) -> Prompts:
    """Write the names into as few prompts as the text encoder's length allows; usually one.

    Args:
        names: from `parse_names`.
        tokenize: the backbone's tokenizer.
        max_tokens: longest prompt, special tokens included.
        squash: write each name as one word ("pottedplant"), as the authors do.
        joint: whether a prompt may hold several names.
        wording: of a prompt, {} where the names stand.

    Raises:
        NamesError: a name that is too long for a prompt even alone, or has a word that the vocabulary cannot write.
    """

    def written(chosen: Sequence[int]) -> Prompt:
        return _prompt([names[i] for i in chosen], chosen, tokenize, squash, wording)

    groups: list[list[int]] = [[]]
    for index, name in enumerate(names):
        _refuse_unwritable(name, written([index]).tokens, max_tokens, len(wording.split("{}")[0]), squash)
        together = [*groups[-1], index]
        fits = joint or not groups[-1]
        if fits and len(written(together).tokens) <= max_tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return Prompts(tuple(written(group) for group in groups if group))


def _prompt(
    names: Sequence[Name],
    indices: Sequence[int],
    tokenize: Callable[[str], TextTokens],
    squash: bool,
    wording: str,
) -> Prompt:
    before, after = wording.split("{}")
    text, spans = before, []
    for name in names:
        start = len(text) + bool(spans)
        text += " " * bool(spans) + " ".join(_written(name, squash))
        spans.append((start, len(text)))
    text += after
    tokens = tokenize(text)
    words = [_clipped(word, spans) for word in _word_spans(text)]
    return Prompt(
        text=text,
        tokens=tokens,
        names=tuple(indices),
        name_tokens=tuple(_tokens_within(tokens, span) for span in spans),
        words=tuple(text[start:end] for start, end in words),
        word_tokens=tuple(_tokens_within(tokens, span) for span in words),
        words_of_names=tuple(
            i for i, (start, end) in enumerate(words) if any(start < last and end > first for first, last in spans)
        ),
    )


def _written(name: Name, squash: bool) -> list[str]:
    """A name and its synonyms as they stand in a prompt."""
    return [word.replace(" ", "") if squash else word for word in name.all]


def _word_spans(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for word in text.split(" "):
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


def _clipped(word: tuple[int, int], names: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The span of a word; of one of a name, as far as the name goes, without the quotes and marks of a question."""
    for start, end in names:
        if word[0] < end and word[1] > start:
            return max(word[0], start), min(word[1], end)
    return word


def _tokens_within(tokens: TextTokens, span: tuple[int, int]) -> tuple[int, ...]:
    """Indices of the tokens that cover a character of the span; special tokens cover none."""
    start, end = span
    return tuple(i for i, (s, e) in enumerate(tokens.offsets) if s < e and s < end and e > start)


def _refuse_unwritable(name: Name, alone: TextTokens, max_tokens: int, start: int, squash: bool) -> None:
    """Refuse a name by the tokens of its prompt alone, where it begins at character `start`.

    A word that the vocabulary cannot write would look where the token for unknown words looks. One that leaves no
    token, such as a sign that a tokenizer drops, adds nothing: it may stand in a phrase.
    """
    shown = name.text if len(name.text) <= 60 else f"{name.text[:57]}..."
    if len(alone) > max_tokens:
        raise NamesError(
            f"name {shown!r} is too long: {len(alone)} tokens with the prompt around it, "
            f"the text encoder takes {max_tokens}; shorten it"
        )
    for text in _written(name, squash):
        words = [_tokens_within(alone, (start + first, start + last)) for first, last in _word_spans(text)]
        lost = [i for i, own in enumerate(words) if own and set(own) <= set(alone.unknown)]
        if lost or not any(words):
            word = text.split(" ")[lost[0]] if lost else text
            what = f"the name {shown!r}" if word == name.text else f"{word!r:.60} (name {shown!r})"
            raise NamesError(f"the model's vocabulary cannot write {what}; say it in English words")
        start += len(text) + 1
