"""A client for OpenAI's chat completions, as many servers speak them: one photo and one question, one answer."""

import http.client
import json
import logging
import math
import os
import random
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pnpovss.errors import InvalidInputError, PresenceError
from pnpovss.files.json import from_json
from pnpovss.presence.base import UnansweredError
from pnpovss.presence.llm.transport import MAX_ANSWER, Redaction, Response, check_address, check_key, post

__all__ = ["ChatClient", "ChatReply", "ChatSettings", "RefusedError", "TryAgain", "Useless"]

Accepted = TypeVar("Accepted")

logger = logging.getLogger(__name__)

OPENAI = "https://api.openai.com/v1"
_TRY_AGAIN = frozenset({408, 409, 425, 429, *range(500, 600)})
_OF_THIS_PHOTO = frozenset({400, 413, 415, 422, 451})  # all others say the same about every photo
# What every request holds alike, and what to do where a server refuses it with a status that speaks of one photo.
_OF_EVERY_PHOTO = {
    "temperature": "set the one that this model takes, or leave it to the server: --llm temperature=none "
    "(LlmSettings(temperature=None))",
    "model": "check the model's name",
}
_MOST_TOKENS = 10**9  # of one answer; a count beyond is no count


class ChatSettings(BaseModel):
    """Which server is asked, and how patiently."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    base_url: str | None = Field(
        default=None, description="such as http://127.0.0.1:8000/v1; else OPENAI_BASE_URL, else OpenAI's own"
    )
    key_variable: str = Field(default="OPENAI_API_KEY", description="environment variable that holds the key")
    timeout: float = Field(default=60, gt=0, le=3600, description="for one whole answer [s]")
    attempts: int = Field(default=5, ge=1, le=20, description="requests for one photo before it fails")
    backoff: float = Field(
        default=1, ge=0, le=3600, description="wait before the second request, doubled each time [s]"
    )
    longest_wait: float = Field(
        default=60,
        ge=0,
        le=86400,
        description="a server that asks for a longer wait is not waited for: the photo fails [s]",
    )

    @property
    def url(self) -> str:
        """Where requests go.

        Raises:
            PresenceError: the address cannot be used.
        """
        return f"{check_address(self.base_url or os.environ.get('OPENAI_BASE_URL') or OPENAI)}/chat/completions"


@dataclass(frozen=True)
class ChatReply:
    """One answer.

    Attributes:
        text: what the model said.
        prompt_tokens: of the question and the photo; 0 where the server does not say.
        completion_tokens: of the answer; 0 where the server does not say.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int


class RefusedError(PresenceError):
    """The server would refuse every photo: a wrong key, model, temperature or address."""


class TryAgain(Exception):
    """What may pass: a busy server, a broken connection, an answer that makes no sense.

    Attributes:
        wait: seconds that the server asks to wait; None where it does not say.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Useless(TryAgain):
    """The model answered, with what is of no use; if it does so every time, that is how it answers about this photo."""


class ChatClient:
    """Asks one server; what may pass is tried again, after a wait that doubles.

    All that it raises and logs has gone through one redaction, and holds no key.

    Attributes:
        settings: which server, and how patiently.
        url: where requests go.
        redact: takes the key out of a text.
        requests: sent so far.
        retries: of those, the ones that followed a failure.
    """

    def __init__(self, settings: ChatSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self.requests = 0
        self.retries = 0
        self._sleep = sleep
        self._key = check_key(settings.key_variable)
        self.redact = Redaction(self._key)
        self.url = settings.url
        if not self._key and self.url.startswith(OPENAI):
            raise PresenceError(f"OpenAI's server wants a key: set the environment variable {settings.key_variable}")

    def ask(self, body: dict[str, Any], accept: Callable[[ChatReply], Accepted]) -> Accepted:
        """Send a request until `accept` takes the answer.

        Args:
            body: of the request, JSON-ready.
            accept: what is made of the answer; raises `Useless` where it is of no use.

        Raises:
            RefusedError: the server refuses key, model, temperature or address; so it would for every photo.
            UnansweredError: it refuses this photo, or its last answer was of no use either; the message tells why.
            PresenceError: no attempt reached it, or it was busy each time.
        """
        try:
            return self._ask(json.dumps(body).encode(), accept)
        except PresenceError as error:
            redacted = type(error)(self.redact(str(error)))
        raise redacted  # here, so that it has no cause: there, foreign text would stand as it came

    def _ask(self, body: bytes, accept: Callable[[ChatReply], Accepted]) -> Accepted:
        attempts = self.settings.attempts
        for attempt in range(attempts):
            try:
                self.requests += 1
                self.retries += attempt > 0
                return accept(self._reply(self._send(body)))
            except TryAgain as failure:
                if attempt + 1 == attempts:
                    kind = UnansweredError if isinstance(failure, Useless) else PresenceError
                    raise kind(f"{self.url} gave no usable answer in {attempts} attempts: {failure}") from None
                wait = self._wait(attempt, failure)
                logger.info("%s", self.redact(f"{self.url}: {failure}; asking again in {wait:.1f} s"))
                self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, attempt: int, failure: TryAgain) -> float:
        """What the server asked for; else twice as long each time, spread so that clients do not come all at once."""
        longest = self.settings.longest_wait
        if failure.wait is not None:
            if failure.wait > longest:
                raise PresenceError(
                    f"{self.url}: {failure}; it asks for {failure.wait:.6g} s, more than longest_wait = {longest:g}"
                )
            return failure.wait
        return min(self.settings.backoff * 2**attempt * random.uniform(0.75, 1.25), longest)

    def _send(self, body: bytes) -> Response:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            return post(self.url, body, headers, self.settings.timeout)
        except TimeoutError:
            raise TryAgain(f"no answer within {self.settings.timeout:g} s") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise TryAgain(f"no answer within {self.settings.timeout:g} s") from None
            raise TryAgain(f"cannot be reached ({self.redact.quote(str(error.reason))})") from None
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise TryAgain(f"the connection broke ({self.redact.quote(repr(error))})") from None

    def _reply(self, response: Response) -> ChatReply:
        """The answer of a response.

        Raises:
            TryAgain: there is none, and there may be one next time.
            PresenceError: there is none, and never will be.
        """
        if len(response.content) > MAX_ANSWER:
            raise TryAgain(f"HTTP {response.status} with an answer of more than {MAX_ANSWER >> 20} MiB")
        if not 200 <= response.status < 300:
            raise self._failure(response)
        return self._parse(response.content)

    def _failure(self, response: Response) -> Exception:
        said = self.redact.quote(response.content.decode("utf-8", "replace"))
        reason = f"HTTP {response.status}" + (f" ({said})" if said else "")
        if response.status in _TRY_AGAIN:
            return TryAgain(reason, _retry_after(response.headers.get("retry-after")))
        if response.status in _OF_THIS_PHOTO:
            if part := _refused_part(response.content):
                return RefusedError(f"{self.url} refuses the {part}, {reason}; {_OF_EVERY_PHOTO[part]}")
            return UnansweredError(f"{self.url} refuses this photo, {reason}")
        if 300 <= response.status < 400:
            target = self.redact.quote(response.headers.get("location", "nowhere"))
            return RefusedError(f"{self.url} redirects to {target}; give that address instead")
        return RefusedError(
            f"{self.url} refuses, {reason}; check the address, the model's name, and the key in "
            f"{self.settings.key_variable}"
        )

    def _parse(self, content: bytes) -> ChatReply:
        try:
            reply = from_json(content)
            text = reply["choices"][0]["message"]["content"]
        except (InvalidInputError, KeyError, IndexError, TypeError):
            shown = self.redact.quote(content[:MAX_ANSWER].decode("utf-8", "replace"))
            raise TryAgain(f"an answer that is no chat completion: {shown!r}") from None
        if not isinstance(text, str):
            raise Useless("an answer without text")
        usage = reply.get("usage")
        return ChatReply(text, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _refused_part(content: bytes) -> str | None:
    """Which of `_OF_EVERY_PHOTO` an error speaks of: by its "param", which proxies drop, or by its message."""
    try:
        error = from_json(content)["error"]
        param, message = error.get("param"), str(error.get("message"))
    except (InvalidInputError, KeyError, TypeError, AttributeError):
        return None
    if param in ("temperature", "model"):
        return param
    return "temperature" if "temperature" in message else None


def _count(usage: Any, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else 0


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None where it holds neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)
