"""Tokenizers that put a token before and after each text: BERT's WordPiece and RoBERTa's byte pairs."""

from dataclasses import dataclass, replace
from pathlib import Path

from pnpovss.backbones.parts.tokenizer import read_tokenizer, text_tokens
from pnpovss.errors import CheckpointError
from pnpovss.prompts import TextTokens

__all__ = ["BERT", "ROBERTA", "Frame", "FramedTokenizer", "starting_with"]


@dataclass(frozen=True)
class Frame:
    """The special tokens of a family.

    Attributes:
        start: stands before a text.
        end: stands after it.
        unknown: stands for what the vocabulary cannot write.
        pad: fills shorter texts up.
        family: whose they are, for messages.
    """

    start: str
    end: str
    unknown: str
    pad: str
    family: str


BERT = Frame("[CLS]", "[SEP]", "[UNK]", "[PAD]", "BERT's WordPiece")
ROBERTA = Frame("<s>", "</s>", "<unk>", "<pad>", "RoBERTa's byte pairs")
"""The space before a word is part of its first token."""


class FramedTokenizer:
    """Texts to tokens with character offsets: the start token, the pieces of the text, the end token.

    Attributes:
        start_id: id of the start token.
        pad_id: id of the token that fills up.
        count: how many tokens it knows.
    """

    def __init__(self, folder: Path, vocabulary: int, frame: Frame) -> None:
        """Read the tokenizer of a checkpoint folder: tokenizer.json, or vocab.txt alone.

        Args:
            folder: of the checkpoint.
            vocabulary: number of word embeddings that the model has.
            frame: what it must write around a text.

        Raises:
            CheckpointError: no tokenizer, one that cannot be read, or one that does not belong to the model.
        """
        self._tokenizer, self._unknown = read_tokenizer(folder, vocabulary), frame.unknown
        written, pad = self._tokenizer.encode("a"), self.id_of(frame.pad)
        if (written.tokens[:1], written.tokens[-1:]) != ([frame.start], [frame.end]) or pad is None:
            raise CheckpointError(
                f"the tokenizer in {folder} writes a text as {written.tokens}; expected {frame.start} before and "
                f"{frame.end} after it, and {frame.pad} in the vocabulary, as in {frame.family}"
            )
        self.start_id, self.pad_id = written.ids[0], pad
        self.count = self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __call__(self, text: str) -> TextTokens:
        """Tokenise a text. Never truncates."""
        return text_tokens(self._tokenizer, text, self._unknown)

    def id_of(self, token: str) -> int | None:
        """The id of a token; None where the vocabulary has none of that name."""
        return self._tokenizer.token_to_id(token)


def starting_with(tokens: TextTokens, index: int, piece: str) -> TextTokens:
    """The same text with another start token."""
    return replace(tokens, ids=(index, *tokens.ids[1:]), pieces=(piece, *tokens.pieces[1:]))
