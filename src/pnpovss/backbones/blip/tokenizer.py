"""BLIP's tokenizer: BERT's WordPiece, with [ENC] where BERT has [CLS]."""

from pathlib import Path

from pnpovss.backbones.parts.framed import BERT, FramedTokenizer, starting_with
from pnpovss.errors import CheckpointError
from pnpovss.prompts import TextTokens

__all__ = ["BlipTokenizer"]

ENC = "[ENC]"


class BlipTokenizer:
    """Texts to tokens with character offsets.

    Attributes:
        enc_id: id of [ENC], which the match head reads.
        cls_id: id of [CLS], which the contrastive head reads.
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
        self._bert = FramedTokenizer(folder, vocabulary, BERT)
        self.cls_id, self.pad_id = self._bert.start_id, self._bert.pad_id
        self.enc_id = self._find_enc(folder, vocabulary)

    def __call__(self, text: str) -> TextTokens:
        """Tokenise a text: [ENC], its pieces, [SEP]. Never truncates."""
        return starting_with(self._bert(text), self.enc_id, ENC)

    def _find_enc(self, folder: Path, vocabulary: int) -> int:
        """Id of [ENC]: the match head was trained on it alone, so no other token can take its place."""
        size, index = self._bert.count, self._bert.id_of(ENC)
        # BLIP appends [DEC] and [ENC] to BERT's vocabulary when it runs; its published tokenizers lack both.
        if index is None and vocabulary == size + 2:
            index = vocabulary - 1
        if index is None:
            raise CheckpointError(
                f"the tokenizer in {folder} has no {ENC}, the token that BLIP's image-text-matching head reads: it "
                f"knows {size} tokens and the model {vocabulary}; expected {ENC} among them, or {vocabulary - 2} "
                "tokens, to which [DEC] and [ENC] are appended (30522 and 30524 in BLIP)"
            )
        return index
