"""A client for OpenAI's chat completions, as many servers speak them: one photo and one question, one answer.

With the standard library alone: the hub's client brings another HTTP library with every few releases.
"""

import http.client
import json
import logging
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pnpovss.errors import PresenceError

__all__ = ["ChatClient", "ChatReply", "ChatSettings", "RefusedError", "TryAgain"]

Accepted = TypeVar("Accepted")

logger = logging.getLogger(__name__)

OPENAI = "https://api.openai.com/v1"
MAX_ANSWER = 8 << 20  # bytes; what is longer is no answer
_TRY_AGAIN = frozenset({408, 409, 425, 429, *range(500, 600)})
_REFUSED = frozenset({401, 403, 404})  # these say the same about every photo


class ChatSettings(BaseModel):
    """Which server is asked, and how patiently."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    base_url: str | None = Field(
        default=None, description="such as http://127.0.0.1:8000/v1; else OPENAI_BASE_URL, else OpenAI's own"
    )
    key_variable: str = Field(default="OPENAI_API_KEY", description="environment variable that holds the key")
    timeout: float = Field(default=60, gt=0, description="for one whole answer [s]")
    attempts: int = Field(default=5, ge=1, le=20, description="requests for one photo before it fails")
    backoff: float = Field(default=1, ge=0, description="wait before the second request, doubled each time [s]")
    longest_wait: float = Field(default=60, ge=0, description="never wait longer than this [s]")

    @property
    def url(self) -> str:
        """Where requests go."""
        base = self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
        if not base.startswith(("http://", "https://")):
            raise PresenceError(f"base URL {base!r} is no web address; write http://... or https://...")
        return f"{base.rstrip('/')}/chat/completions"


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
    """The server would refuse every photo: a wrong key, model or address."""


class TryAgain(Exception):
    """This request failed in a way that may pass.

    Attributes:
        wait: seconds that the server asked to wait; None if it did not say.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class ChatClient:
    """Asks until there is a usable answer or patience ends.

    Attributes:
        settings: which server, and how patiently.
        requests: sent so far.
        retries: of those, the ones that followed a failure.
    """

    def __init__(self, settings: ChatSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self.requests = 0
        self.retries = 0
        self._sleep = sleep
        self._url = settings.url
        self._key = os.environ.get(settings.key_variable, "").strip()
        if not self._key and self._url.startswith(OPENAI):
            raise PresenceError(f"OpenAI's server wants a key: set the environment variable {settings.key_variable}")
        # Redirects are not followed: they would carry the key to another server.
        self._opener = urllib.request.build_opener(_NoRedirect)

    def ask(self, body: dict[str, Any], accept: Callable[[ChatReply], Accepted]) -> Accepted:
        """Send a request until `accept` takes the answer.

        Args:
            body: of the request, JSON-ready.
            accept: what is made of the answer; raises `TryAgain` where it is of no use.

        Raises:
            RefusedError: the server refuses key, model or address; so it would for every photo.
            PresenceError: it refuses this photo, or no attempt gave a usable answer; the message tells the last reason.
        """
        attempts = self.settings.attempts
        for attempt in range(attempts):
            try:
                self.requests += 1
                self.retries += attempt > 0
                return accept(self._send(body))
            except TryAgain as failure:
                if attempt + 1 == attempts:
                    raise PresenceError(
                        f"{self._url} gave no usable answer in {attempts} attempts: {failure}"
                    ) from failure
                wait = self._wait(attempt, failure)
                logger.info("%s: %s; asking again in %.1f s", self._url, failure, wait)
                self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, attempt: int, failure: TryAgain) -> float:
        """What the server asked for; else twice as long each time, spread so that clients do not come all at once."""
        longest = self.settings.longest_wait
        if failure.wait is not None:
            if failure.wait > longest:
                raise PresenceError(
                    f"{self._url}: {failure}; it asks for {failure.wait:.0f} s, more than longest_wait = {longest:g}"
                ) from failure
            return failure.wait
        return min(self.settings.backoff * 2**attempt * random.uniform(0.75, 1.25), longest)

    def _send(self, body: dict[str, Any]) -> ChatReply:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers, method="POST")
        end = time.monotonic() + self.settings.timeout
        try:
            with self._opener.open(request, timeout=self.settings.timeout) as response:
                content = _read(response, end)
        except urllib.error.HTTPError as error:
            with error:
                raise self._failure(error) from error
        except TimeoutError as error:
            raise TryAgain(f"no answer within {self.settings.timeout:g} s") from error
        except urllib.error.URLError as error:
            raise TryAgain(f"cannot be reached ({error.reason})") from error
        except (http.client.HTTPException, OSError) as error:
            raise TryAgain(f"the connection broke ({error!r})") from error
        return _parse(content)

    def _failure(self, error: urllib.error.HTTPError) -> Exception:
        said = self._said(error)
        if error.code in _TRY_AGAIN:
            return TryAgain(f"HTTP {error.code}{said}", _retry_after(error.headers.get("Retry-After")))
        if error.code in _REFUSED:
            return RefusedError(
                f"{self._url} refuses, HTTP {error.code}{said}; check the address, the model's name, and the key in "
                f"{self.settings.key_variable}"
            )
        if 300 <= error.code < 400:
            return RefusedError(f"{self._url} redirects to {error.headers.get('Location')}; give that address instead")
        return PresenceError(f"{self._url} refuses this photo, HTTP {error.code}{said}")

    def _said(self, error: urllib.error.HTTPError) -> str:
        """The start of an error's text, without the key, should the server repeat it."""
        try:
            text = error.read(2000).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return ""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        return f" ({text[:200]})" if text else ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Leave the redirect as the error it then is."""


def _read(response: http.client.HTTPResponse, end: float) -> bytes:
    """The body, as long as the whole of it comes in time: a socket's own timeout starts anew with every byte."""
    content = bytearray()
    while chunk := response.read1(1 << 16):
        content += chunk
        if len(content) > MAX_ANSWER:
            raise TryAgain(f"an answer of more than {MAX_ANSWER >> 20} MiB")
        if time.monotonic() > end:
            raise TimeoutError
    return bytes(content)


def _parse(content: bytes) -> ChatReply:
    try:
        reply = json.loads(content)
        text = reply["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        shown = content[:120].decode("utf-8", "replace")
        raise TryAgain(f"an answer that is no chat completion: {shown!r}") from error
    if not isinstance(text, str):
        raise TryAgain("an answer without text")
    usage = reply.get("usage") or {}
    return ChatReply(text, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _count(usage: Any, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else 0


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None where it holds neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
