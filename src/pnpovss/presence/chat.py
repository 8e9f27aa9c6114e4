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
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pnpovss.errors import PresenceError

__all__ = ["ChatClient", "ChatReply", "ChatSettings", "RefusedError", "TryAgain"]

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

    def ask[T](self, body: dict[str, Any], accept: Callable[[ChatReply], T]) -> T:
        ...
