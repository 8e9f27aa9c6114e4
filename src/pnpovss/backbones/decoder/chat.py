"""The chat around a question: what stands before the image, what after it, and which tokens answer yes or no."""

import re
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from pnpovss.backbones.parts.checkpoint import read_json
from pnpovss.backbones.parts.tokenizer import read_tokenizer, text_tokens
from pnpovss.errors import CheckpointError, NamesError
from pnpovss.prompts import TextTokens

__all__ = ["QUESTION", "Chat"]

QUESTION = "Does this figure show '{}'? Please answer yes or no."
"""As VQAScore asks it (arXiv 2404.01291)."""

_MARK = "QUESTION"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


class Chat:
    """A checkpoint's own chat with one image and then a text; the model is to answer next.

    Attributes:
        before: ids of all that stands before the image's tokens.
        yes: id of the token that begins the answer "Yes".
        no: id of the token that begins the answer "No".
    """

    def __init__(self, folder: Path, image_id: int, frame: str, vocabulary: int, mark: str | None = None) -> None:
        """Read the chat of a checkpoint.

        Args:
            folder: of the checkpoint.
            image_id: id of the token that stands for the image.
            frame: what the checkpoint's processor writes in place of that token, with {} for the image's tokens.
            vocabulary: number of word embeddings that the model has.
            mark: what the template writes for an image; that token where it is None.

        Raises:
            CheckpointError: no tokenizer or chat template, or one that does not put one image before the question.
        """
        self._tokenizer = read_tokenizer(folder, vocabulary)
        self._tokenizer.encode_special_tokens = False  # the template is made of them; a text's are refused below
        self._image_id = image_id
        self._control = set(self._tokenizer.get_added_tokens_decoder())
        self._head, self._tail = self._around(folder, frame, mark)
        asked = self._read(self._head + self._tail)
        if asked.ids.count(image_id) != 1:
            raise CheckpointError(f"the tokenizer in {folder} does not read the image's token {image_id} in its chat")
        self.before = self._once(asked.ids[: asked.ids.index(image_id)])
        self.yes, self.no = (self._answer(folder, asked, answer) for answer in ("Yes", "No"))
        if self.yes == self.no:
            raise CheckpointError(f"the tokenizer in {folder} begins Yes and No alike, with token {self.yes}")

    def __call__(self, text: str) -> TextTokens:
        """All that follows the image when this text is asked; offsets are of the text, (0, 0) for the chat around it.

        Raises:
            NamesError: the text holds what the model would read as a part of the chat.
        """
        chat = self._read(self._head + text + self._tail)
        spans = [self._within(text, span) for span in chat.offsets]
        for token, (start, end) in zip(chat.ids, spans, strict=True):
            if token in self._control and start < end:
                raise NamesError(f"{text[start:end]!r} is a control token of this model; leave it out")
        first = chat.ids.index(self._image_id) + 1
        unknown = tuple(i - first for i in chat.unknown if i >= first)
        return TextTokens(chat.ids[first:], chat.pieces[first:], tuple(spans[first:]), unknown)

    def lacks(self, tiled: str) -> list[str]:
        """The marks in what is written for an image's frames that the tokenizer does not know; see `between`."""
        marks = re.findall(r"<[^<>]+>", tiled)
        return [mark for mark in marks if self._tokenizer.token_to_id(mark) not in self._control]

    def between(self, tiled: str) -> list[tuple[int, ...]]:
        """Ids of what stands before each of an image's frames, the first before the first.

        Args:
            tiled: what is written in place of the one frame, with {} for the tokens of each.

        Raises:
            CheckpointError: the tokenizer does not know the marks that this takes.
        """
        image = str(self._tokenizer.id_to_token(self._image_id))
        if unknown := self.lacks(tiled):
            raise CheckpointError(f"this checkpoint's tokenizer has no {unknown[0]}, so its image cannot be cut so")
        ids = self._read(self._head.replace(self._frame, tiled.replace("{}", image)) + self._tail).ids
        ends = [place for place, token in enumerate(ids) if token == self._image_id]
        parts = [ids[start:end] for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]
        return [self._once(parts[0]), *parts[1:]]

    def _around(self, folder: Path, frame: str, mark: str | None) -> tuple[str, str]:
        """What the checkpoint's chat writes before and after the text, the image's frame included."""
        image = self._tokenizer.id_to_token(self._image_id)
        if image is None:
            raise CheckpointError(f"the tokenizer in {folder} has no token {self._image_id}, the image's by the config")
        rendered, written = _render(folder, self._tokenizer), mark or image
        once = rendered.count(written) == rendered.count(_MARK) == 1
        if not once or rendered.index(written) > rendered.index(_MARK):
            raise CheckpointError(
                f"the chat template in {folder} does not write one {written!r} and then the question, but {rendered!r}"
            )
        self._frame = frame.format(image)
        head, tail = rendered.replace(written, self._frame).split(_MARK)
        return head, tail

    def _read(self, chat: str) -> TextTokens:
        return text_tokens(self._tokenizer, chat, getattr(self._tokenizer.model, "unk_token", None))

    def _once(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Without the token that the tokenizer begins every text with, where the template has written it, too."""
        plain = self._tokenizer.encode(self._head, add_special_tokens=False).ids
        doubled = ids[:1] == ids[1:2] and self._tokenizer.encode(self._head).ids == [plain[0], *plain]
        return ids[1:] if doubled else ids

    def _answer(self, folder: Path, asked: TextTokens, answer: str) -> int:
        space = "" if self._tail[-1:].isspace() else " "
        ids = self._read(self._head + self._tail + space + answer).ids
        if ids[: len(asked)] != asked.ids or len(ids) == len(asked):
            raise CheckpointError(f"the tokenizer in {folder} does not write {answer!r} after the chat {self._tail!r}")
        return ids[len(asked)]

    def _within(self, text: str, span: tuple[int, int]) -> tuple[int, int]:
        """A span of the chat as one of the text, without the space before a word; (0, 0) outside."""
        start, end = (min(max(place - len(self._head), 0), len(text)) for place in span)
        start += len(text[start:end]) - len(text[start:end].lstrip())
        return (start, end) if start < end else (0, 0)


def _render(folder: Path, tokenizer: Tokenizer) -> str:
    """The chat with one image and a mark for the question, up to where the model's answer begins."""
    path = folder / "tokenizer_config.json"
    settings = read_json(path) if path.is_file() else {}
    special = {key: _content(settings[key]) for key in _SPECIAL if settings.get(key)}
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _MARK}]}
    template = _template(folder, settings)
    try:
        writer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
        return str(
            writer.apply_chat_template([message], chat_template=template, tokenize=False, add_generation_prompt=True)
        )
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"the chat template in {folder} cannot write a question: {error}") from error


def _template(folder: Path, settings: dict[str, Any]) -> str:
    """The chat template, wherever versions of transformers have put it."""
    own, older = folder / "chat_template.jinja", folder / "chat_template.json"
    if own.is_file():
        return own.read_text(encoding="utf-8", errors="replace")
    found = (read_json(older) if older.is_file() else settings).get("chat_template")
    if isinstance(found, list):
        found = {each["name"]: each["template"] for each in found if {"name", "template"} <= set(each)}.get("default")
    if not isinstance(found, str):
        raise CheckpointError(
            f"no chat template in {folder}: expected chat_template.jinja, chat_template.json, or one in "
            "tokenizer_config.json; copy it from the checkpoint's source"
        )
    return found


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)
