"""BLIP's tokenizer: BERT's WordPiece, with [ENC] where BERT has [CLS]."""

import json
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

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
        self._tokenizer = _read(folder)
        # A name that reads "[SEP]" is text, not the end of the prompt.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.cls_id, self.pad_id = (self._require(token, folder) for token in ("[CLS]", "[PAD]"))
        self.enc_id = self._find_enc(folder, vocabulary)

    def __call__(self, text: str) -> TextTokens:
        """Tokenise a text: [ENC], its pieces, [SEP]. Never truncates."""
        encoding = self._tokenizer.encode(text)
        return TextTokens(
            ids=(self.enc_id, *encoding.ids[1:]),
            pieces=(ENC, *encoding.tokens[1:]),
            offsets=tuple((start, end) for start, end in encoding.offsets),
        )

    def _require(self, token: str, folder: Path) -> int:
        index = self._tokenizer.token_to_id(token)
        if index is None:
            raise CheckpointError(f"the tokenizer in {folder} has no {token}; expected BERT's WordPiece vocabulary")
        return index

    def _find_enc(self, folder: Path, vocabulary: int) -> int:
        """Id of [ENC]: the match head was trained on it alone, so no other token can take its place."""
        size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        index = self._tokenizer.token_to_id(ENC)
        # BLIP appends [DEC] and [ENC] to BERT's vocabulary when it runs; its published tokenizers lack both.
        if index is None and vocabulary == size + 2:
            index = vocabulary - 1
        if index is None:
            raise CheckpointError(
                f"the tokenizer in {folder} has no {ENC}, the token that BLIP's image-text-matching head reads: it "
                f"knows {size} tokens and the model {vocabulary}; expected {ENC} among them, or {vocabulary - 2} "
                "tokens, to which [DEC] and [ENC] are appended (30522 and 30524 in BLIP)"
            )
        if max(index + 1, size) > vocabulary:
            raise CheckpointError(
                f"the tokenizer in {folder} knows {max(index + 1, size)} tokens, but the model embeds {vocabulary}: "
                "they do not belong together"
            )
        return index


def _read(folder: Path) -> Tokenizer:
    path = next((folder / name for name in ("tokenizer.json", "vocab.txt") if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"no tokenizer in {folder}: expected tokenizer.json or vocab.txt; copy them from the checkpoint's source"
        )
    try:
        if path.name == "tokenizer.json":
            tokenizer = Tokenizer.from_file(str(path))
        else:
            wordpiece = BertWordPieceTokenizer(str(path), lowercase=_lowercase(folder))
            tokenizer = Tokenizer.from_str(wordpiece.to_str())
        first = tokenizer.encode("a").tokens[:1]
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise CheckpointError(f"{path} is no tokenizer that can be read: {error}") from error
    if first != ["[CLS]"]:
        raise CheckpointError(f"{path} does not start a text with [CLS], as BERT's WordPiece does, but with {first}")
    return tokenizer


def _lowercase(folder: Path) -> bool:
    settings = folder / "tokenizer_config.json"
    return bool(json.loads(settings.read_text()).get("do_lower_case", True)) if settings.is_file() else True
