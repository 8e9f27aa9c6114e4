"""Reading the tokenizer of a checkpoint: tokens with the characters that each of them covers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

from pnpovss.backbones.parts.checkpoint import read_json
from pnpovss.errors import CheckpointError
from pnpovss.prompts import TextTokens

__all__ = ["read_tokenizer", "text_tokens"]


def read_tokenizer(folder: Path, vocabulary: int) -> Tokenizer:
    """The tokenizer of a checkpoint folder, from tokenizer.json, or from BERT's vocab.txt alone.

    It neither truncates nor pads, and a name that reads "[SEP]" is text to it, not the end of the prompt.

    Args:
        folder: of the checkpoint.
        vocabulary: number of word embeddings that the model has.

    Raises:
        CheckpointError: no tokenizer, one that cannot be read, or one that does not belong to the model.
    """
    path = next((folder / name for name in ("tokenizer.json", "vocab.txt") if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"no tokenizer in {folder}: expected tokenizer.json or vocab.txt; copy them from the checkpoint's source"
        )
    with _refused(f"{path} is no tokenizer that can be read"):
        if path.name == "tokenizer.json":
            tokenizer = Tokenizer.from_file(str(path))
        else:
            wordpiece = BertWordPieceTokenizer(str(path), lowercase=_lowercase(folder))
            tokenizer = Tokenizer.from_str(wordpiece.to_str())
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        ids = [*tokenizer.get_vocab(with_added_tokens=True).values(), *tokenizer.encode("a").ids]
    if (tokens := max(ids, default=0) + 1) > vocabulary:
        raise CheckpointError(
            f"{path} numbers tokens up to {tokens - 1}, but the model embeds {vocabulary}, from 0: they do not belong "
            "together"
        )
    return tokenizer


def text_tokens(tokenizer: Tokenizer, text: str, unknown: str | None, *, special: bool = True) -> TextTokens:
    """What a tokenizer makes of a text.

    Args:
        tokenizer: that was read.
        text: what is to be written in tokens.
        unknown: the piece that stands for what the vocabulary cannot write; None where it can write everything.
        special: with the special tokens that the tokenizer puts around a text.

    Raises:
        CheckpointError: it fails on this text, as a damaged one may on some.
    """
    with _refused(f"the tokenizer fails on {text!r:.80}; fetch it again"):
        encoding = tokenizer.encode(text, add_special_tokens=special)
    # By its id: SentencePiece's Unigram keeps what it cannot write as the piece.
    unknown_id = None if unknown is None else tokenizer.token_to_id(unknown)
    return TextTokens(
        ids=tuple(encoding.ids),
        pieces=tuple(encoding.tokens),
        offsets=tuple(_without_spaces(text, start, end) for start, end in encoding.offsets),
        unknown=tuple(i for i, token in enumerate(encoding.ids) if token == unknown_id),
    )


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """The tokenizers library raises nothing narrower than Exception, and its panics are not even that."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, CheckpointError):
        raise
    except BaseException as error:
        raise CheckpointError(f"{what}: {error}") from error


def _without_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    """The same characters of a text, without spaces around them.

    In byte-pair vocabularies the space before a word is part of its first token; whether a tokenizer counts it among
    the token's characters is a setting of the checkpoint.
    """
    covered = text[start:end]
    start += len(covered) - len(covered.lstrip())
    return start, start + len(covered.strip())


def _lowercase(folder: Path) -> bool:
    settings = folder / "tokenizer_config.json"
    return bool(read_json(settings).get("do_lower_case", True)) if settings.is_file() else True
