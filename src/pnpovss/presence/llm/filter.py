"""A large multimodal model behind a web address decides, as GPT-4o does in the paper; every answer is kept on disk."""

import base64
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import Field

from pnpovss.errors import PresenceError
from pnpovss.files.json import from_json, to_json
from pnpovss.files.writing import write_all
from pnpovss.images import load_image
from pnpovss.names import Name
from pnpovss.presence.base import Photo, Presence, Report, few_digits
from pnpovss.presence.llm.answers import MalformedAnswer, parse_json_answer
from pnpovss.presence.llm.client import ChatClient, ChatReply, ChatSettings, RefusedError, Useless
from pnpovss.presence.rules import Rule
from pnpovss.presence.spec import PresenceContext, PresenceSpec
from pnpovss.printable import printable

__all__ = ["LLM", "LLM_RULE", "Llm", "LlmSettings"]

logger = logging.getLogger(__name__)

CACHE_FORMAT = 2  # of kept answers
LLM_RULE = Rule(above=0.7)  # the paper keeps what GPT-4o is more than 70% sure of

QUESTION = """Which of these things can be seen in the photo?
{names}
Answer with JSON alone, like {{"present": [{{"id": 1, "name": "{first}", "confidence": 95}}]}}.
List every thing of the list that can be seen, and nothing else. The confidence is a percentage from 0 to 100. \
If none can be seen, the list is empty."""


class LlmSettings(ChatSettings):
    """Which model is asked, with which picture, and where its answers are kept."""

    longest_side: int = Field(
        default=768, ge=32, le=8192, description="photos are made smaller than this before sending [px]"
    )
    jpeg_quality: int = Field(default=85, ge=1, le=95, description="of the photo that is sent")
    temperature: float | None = Field(
        default=0, ge=0, le=2, description="of the answers; none leaves it to the server, as some models want"
    )
    cache: Path | None = Field(default=None, description="folder of answers; else the user's cache folder")
    price_in: float | None = Field(default=None, ge=0, le=1e6, description="per million tokens of questions and photos")
    price_out: float | None = Field(default=None, ge=0, le=1e6, description="per million tokens of answers")

    @property
    def folder(self) -> Path:
        """Where answers are kept."""
        if self.cache is not None:
            return self.cache
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pnpovss" / "llm"


class Llm:
    """Asks an OpenAI-compatible endpoint about each photo once; scores are the model's own confidences in [0, 1].

    Answers are kept by server and request (model, question, settings, the photo as it is sent), so that a run that is
    repeated asks nothing twice; only numbers are kept of an answer, none of its text. A photo about
    which no usable answer came raises PresenceError (`UnansweredError`, where asking again would not help), and the
    next photo is asked about all the same; only when the server refuses the key, the model, the temperature or the
    address are all later photos refused at once.

    Attributes:
        model: as the server calls it.
        rule: turns scores into a decision; an answer that names nothing at all keeps nothing.
    """

    def __init__(
        self,
        model: str,
        settings: LlmSettings | None = None,
        rule: Rule = LLM_RULE,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        if not model or not model.isprintable():
            raise PresenceError(f"a model is called as its server calls it, such as gpt-4o; got {model!r:.80}")
        self.model = model
        self.rule = rule
        self._settings = settings or LlmSettings()
        self._client = ChatClient(self._settings, *([sleep] if sleep else []))
        self._counts = dict.fromkeys(
            ("photos", "from_cache", "failures", "malformed", "prompt_tokens", "completion_tokens"), 0
        )
        self._refused: RefusedError | None = None

    @property
    def key(self) -> str:
        """The model, a few digits of a checksum of what else an answer depends on, and the rule."""
        own = self._settings
        asked = [self._client.url, own.longest_side, own.jpeg_quality]
        asked += [] if own.temperature == 0 else [own.temperature]  # records were written before it could be set
        return f"llm:{self.model}@{few_digits(asked)}:{self.rule}"

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """See `PresenceFilter.decide`.

        Raises:
            RefusedError: the server refuses every photo.
            UnansweredError: it refuses this one, or has no usable answer about it.
            PresenceError: it cannot be reached, or is busy.
        """
        self._counts["photos"] += 1
        try:
            scores = self._scores(_as_jpeg(load_image(photo.image), self._settings), names)
        except PresenceError as error:
            self._counts["failures"] += 1
            if isinstance(error, RefusedError):
                self._refused = error
            raise
        return Presence(self.rule.keep(scores) if any(scores) else (), scores)

    def report(self) -> Report:
        """Photos, answers from the cache, requests, retries, failures, malformed answers, tokens, and their cost."""
        counts: Report = {**self._counts, "requests": self._client.requests, "retries": self._client.retries}
        prices = self._settings.price_in, self._settings.price_out
        if None not in prices:
            tokens = self._counts["prompt_tokens"], self._counts["completion_tokens"]
            counts["cost"] = sum(n * (price or 0) / 1e6 for n, price in zip(tokens, prices, strict=True))
        return counts

    def _scores(self, jpeg: bytes, names: Sequence[Name]) -> tuple[float, ...]:
        body = _body(self.model, self._settings.temperature, _question(names), jpeg)
        kept_at = self._kept_at(body)
        known = _read_kept(kept_at, names)
        if known is not None:
            self._counts["from_cache"] += 1
            return known
        if self._refused is not None:
            raise RefusedError(f"not asked again: {self._refused}")

        def accept(reply: ChatReply) -> tuple[float, ...]:
            self._counts["prompt_tokens"] += reply.prompt_tokens  # a malformed answer is paid for, too
            self._counts["completion_tokens"] += reply.completion_tokens
            try:
                scores = parse_json_answer(reply.text, names)
            except MalformedAnswer:
                self._counts["malformed"] += 1
                raise Useless(f"a malformed answer: {self._what_is_wrong(reply.text, names)}") from None
            self._keep(kept_at, names, scores)
            return scores

        return self._client.ask(body, accept)

    def _what_is_wrong(self, answer: str, names: Sequence[Name]) -> str:
        """Why an answer is malformed, told of its redacted text: messages cut texts, and a key could be cut in two."""
        try:
            parse_json_answer(self._client.redact(answer), names)
        except MalformedAnswer as error:
            return printable(str(error))
        return "it holds the key"

    def _kept_at(self, body: dict[str, Any]) -> Path:
        request = json.dumps([CACHE_FORMAT, self._client.url, body])
        name = hashlib.sha256(request.encode()).hexdigest()
        return self._settings.folder / name[:2] / f"{name}.json"

    def _keep(self, path: Path, names: Sequence[Name], scores: Sequence[float]) -> None:
        """Write what was understood of an answer; where that fails, the answer was still given, so this only warns."""
        asked = {"server": self._client.redact(self._client.url), "model": self._client.redact(self.model)}
        content = {**asked, "names": [name.text for name in names], "scores": scores}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_all({path: to_json(content, indent=1)})
        except (OSError, ValueError) as error:  # an OutputError is an OSError
            logger.warning("an answer could not be kept, and will be asked for again: %s", error)


def _question(names: Sequence[Name]) -> str:
    """Names numbered from 1, with their synonyms."""
    listed = "\n".join(f"{i}: {' / '.join(name.all)}" for i, name in enumerate(names, 1))
    return QUESTION.format(names=listed, first=names[0].text)


def _body(model: str, temperature: float | None, question: str, jpeg: bytes) -> dict[str, Any]:
    """The request; the photo travels inside it, as a data URL."""
    url = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}]
    said = {} if temperature is None else {"temperature": temperature or 0}  # 0, never 0.0: answers are kept by it
    return {"model": model, **said, "messages": [{"role": "user", "content": content}]}


def _as_jpeg(photo: Image.Image, settings: LlmSettings) -> bytes:
    side = settings.longest_side
    if max(photo.size) > side:
        photo = photo.copy()
        photo.thumbnail((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=settings.jpeg_quality)
    return file.getvalue()


def _read_kept(path: Path, names: Sequence[Name]) -> tuple[float, ...] | None:
    """Scores from a kept answer; None where there is none, or a damaged one, which is then asked for again."""
    try:
        scores = tuple(float(score) for score in from_json(path.read_bytes())["scores"])
        if len(scores) != len(names) or not all(0 <= score <= 1 for score in scores):
            raise ValueError(f"{len(scores)} scores for {len(names)} names, or one outside 0 to 1")
        return scores
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:  # no JSON is a ValueError, too
        logger.warning("the kept answer %s is damaged (%s) and is asked for again", path, error)
        return None


def _make(argument: str, context: PresenceContext) -> Llm:
    if not argument:
        raise PresenceError("'llm' needs more: llm:MODEL")
    if context.settings is not None and not isinstance(context.settings, LlmSettings):
        raise PresenceError(f"llm takes settings of the class LlmSettings, got {type(context.settings).__name__}")
    return Llm(argument, context.settings, context.rule or LLM_RULE)


LLM = PresenceSpec(
    key="llm",
    summary="llm:MODEL, a server that speaks OpenAI's chat completions (OPENAI_BASE_URL, OPENAI_API_KEY)",
    make=_make,
    settings=LlmSettings,
)
