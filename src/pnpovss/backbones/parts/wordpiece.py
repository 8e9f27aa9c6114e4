"""BERT's WordPiece as most models have it: [CLS], the pieces of a text, [SEP]."""

from pathlib import Path

from pnpovss.backbones.parts.tokenizer import read_tokenizer, text_tokens
from pnpovss.errors import CheckpointError
from pnpovss.prompts import TextTokens

__all__ = ["WordPiece"]


class WordPiece:
    """Texts to tokens with character offsets.

    Attributes:
        pad_id: id of [PAD].
    """

    def __init__(self, folder: Path, vocabulary: int) -> None:
        """Read the tokenizer of a checkpoint folder: tokenizer.json, or vocab.txt alone.

        Args:
            folder: of the checkpoint.
            vocabulary: number of word embeddings that the model has.

        Raises:
            CheckpointError: no tokenizer, one that cannot be read, or one that does not belong to the model.
        """
        self._tokenizer = read_tokenizer(folder, vocabulary)
        pieces, pad = self._tokenizer.encode("a").tokens, self._tokenizer.token_to_id("[PAD]")
        if (pieces[:1], pieces[-1:]) != (["[CLS]"], ["[SEP]"]) or pad is None:
            raise CheckpointError(
                f"the tokenizer in {folder} writes a text as {pieces}; expected [CLS] before and [SEP] after it, and "
                "[PAD] in the vocabulary, as BERT's WordPiece has them"
            )
        self.pad_id = pad

    def __call__(self, text: str) -> TextTokens:
        """Tokenise a text. Never truncates."""
        return text_tokens(self._tokenizer, text, "[UNK]")
