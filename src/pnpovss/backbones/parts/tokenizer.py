"""Reading the tokenizer of a checkpoint: tokens with the characters that each of them covers."""

from pathlib import Path

from tokenizers import Encoding, Tokenizer
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

from pnpovss.backbones.parts.checkpoint import read_json
from pnpovss.errors import CheckpointError
from pnpovss.prompts import TextTokens

__all__ = ["read_tokenizer", "text_tokens"]


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder, from tokenizer.json, or from BERT's vocab.txt alone.

    It neither truncates nor pads, and a name that reads "[SEP]" is text to it, not the end of the prompt.

    Raises:
        CheckpointError: no tokenizer, or one that cannot be read.
    """
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
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode("a")
    except (KeyboardInterrupt, SystemExit, CheckpointError):
        raise
    except BaseException as error:  # the library raises nothing narrower, and its panics are not even exceptions
        raise CheckpointError(f"{path} is no tokenizer that can be read: {error}") from error
    return tokenizer


def text_tokens(encoding: Encoding, unknown: str | None) -> TextTokens:
    """What a tokenizer says of a text.

    Args:
        encoding: of the text.
        unknown: the piece that stands for what the vocabulary cannot write; None where it can write everything.
    """
    return TextTokens(
        ids=tuple(encoding.ids),
        pieces=tuple(encoding.tokens),
        offsets=tuple((start, end) for start, end in encoding.offsets),
        unknown=tuple(i for i, piece in enumerate(encoding.tokens) if piece == unknown),
    )


def _lowercase(folder: Path) -> bool:
    settings = folder / "tokenizer_config.json"
    return bool(read_json(settings).get("do_lower_case", True)) if settings.is_file() else True
