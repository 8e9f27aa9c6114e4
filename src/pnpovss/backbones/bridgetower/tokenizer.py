"""BridgeTower's tokenizer: RoBERTa's byte pairs, in which the space before a word is part of its first token."""

from pathlib import Path

from pnpovss.backbones.parts.tokenizer import read_tokenizer, text_tokens
from pnpovss.errors import CheckpointError
from pnpovss.prompts import TextTokens

__all__ = ["BridgeTowerTokenizer"]

START, END, UNKNOWN = "<s>", "</s>", "<unk>"


class BridgeTowerTokenizer:
    """Texts to tokens with character offsets."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        """Read the tokenizer of a checkpoint folder.

        Args:
            folder: of the checkpoint.
            vocabulary: number of word embeddings that the model has.

        Raises:
            CheckpointError: no tokenizer, one that cannot be read, or one that does not belong to the model.
        """
        self._tokenizer = read_tokenizer(folder, vocabulary)
        pieces = self._tokenizer.encode("a").tokens
        if (pieces[:1], pieces[-1:]) != ([START], [END]):
            raise CheckpointError(
                f"the tokenizer in {folder} writes a text as {pieces}; expected {START} before and {END} after it, as "
                "RoBERTa's does"
            )

    def __call__(self, text: str) -> TextTokens:
        """Tokenise a text: <s>, its pieces, </s>. Never truncates."""
        return text_tokens(self._tokenizer, text, UNKNOWN)
