"""Texts as CLIP and SigLIP were trained to read them, with the characters that each token covers."""

import string
from pathlib import Path
from typing import Any

from pnpovss.backbones.parts.checkpoint import read_json
from pnpovss.backbones.parts.tokenizer import read_tokenizer, text_tokens
from pnpovss.errors import CheckpointError
from pnpovss.prompts import TextTokens

__all__ = ["DualTokenizer"]


class DualTokenizer:
    """Texts to tokens with character offsets.

    CLIP's texts stand between its start and end token. SigLIP's are lower-case and end with its end token; SigLIP 1,
    whose end token is "</s>", was trained without punctuation, too. Not every checkpoint's tokenizer.json says all of
    that, so it is done here. TIPSv2's have no special tokens.

    Attributes:
        pad_id: id that shorter texts are filled up with.
    """

    def __init__(self, folder: Path, kind: str, text_config: Any) -> None:
        """Read the tokenizer of a checkpoint folder, tokenizer.json.

        Args:
            folder: of the checkpoint.
            kind: "clip", "siglip" or "tipsv2".
            text_config: of the model, as transformers has it.

        Raises:
            CheckpointError: no tokenizer, one that cannot be read, or one that does not belong to the model.
        """
        self._tokenizer = read_tokenizer(folder, int(text_config.vocab_size))
        self._siglip = kind == "siglip"
        self._unknown = self._piece(folder, "unk_token")
        if self._siglip:
            self._end, self._end_id = self._special(folder, "eos_token")
            _, self.pad_id = self._special(folder, "pad_token")
            self._dropped = set(string.punctuation) if self._end == "</s>" else set()
        elif kind == "tipsv2":
            _, self.pad_id = self._special(folder, "pad_token")
        else:
            self.pad_id = self._tokenizer.encode("a").ids[-1]
            self._check_end(folder, text_config)

    def __call__(self, text: str) -> TextTokens:
        """Tokenise a text, special tokens included. Never truncates."""
        if not self._siglip:
            return text_tokens(self._tokenizer, text, self._unknown)
        # Places of the text's characters, as lower-casing may make two of one, and punctuation goes.
        read = [(char, place) for place, own in enumerate(text) if own not in self._dropped for char in own.lower()]
        tokens = text_tokens(self._tokenizer, "".join(char for char, _ in read), self._unknown, special=False)
        offsets = ((read[start][1], read[end - 1][1] + 1) if start < end else (0, 0) for start, end in tokens.offsets)
        return TextTokens((*tokens.ids, self._end_id), (*tokens.pieces, self._end), (*offsets, (0, 0)), tokens.unknown)

    def _check_end(self, folder: Path, text_config: Any) -> None:
        """CLIP's text is read at its end token; configs of early releases say 2 and mean the greatest id."""
        end = text_config.eos_token_id
        if end not in (2, self.pad_id):
            raise CheckpointError(
                f"the tokenizer in {folder} ends a text with the token {self.pad_id}, the model reads it at {end}: "
                "they do not belong together"
            )

    def _piece(self, folder: Path, role: str) -> str | None:
        """A special token by its role; None where the checkpoint names none."""
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            given = read_json(folder / name).get(role) if (folder / name).is_file() else None
            if given is not None:
                return given["content"] if isinstance(given, dict) and "content" in given else str(given)
        return None

    def _special(self, folder: Path, role: str) -> tuple[str, int]:
        """A special token that there must be, and its id."""
        piece = self._piece(folder, role)
        index = None if piece is None else self._tokenizer.token_to_id(piece)
        if piece is None or index is None:
            raise CheckpointError(f"the tokenizer in {folder} has no {role} (tokenizer_config.json says {piece!r})")
        return piece, index
