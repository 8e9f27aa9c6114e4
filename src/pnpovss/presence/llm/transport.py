"""One request over HTTP that ends in time, whatever the server does, and the redaction of all that is said of it.

With the standard library alone: the time limits of the well-known clients hold for each wait for bytes, not for a whole
request, so that a server that sends a byte now and then holds them for ever.
"""

import base64
import contextlib
import http.client
import os
import queue
import re
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pnpovss.errors import PresenceError
from pnpovss.printable import printable

__all__ = ["Redaction", "Response", "check_address", "check_key", "post"]

Result = TypeVar("Result")

MAX_ANSWER = 8 << 20  # bytes; what is longer is no answer
_SHORT = 4  # characters; no key is shorter, and hiding such words would garble messages
_SHOWN = 200  # characters of foreign text that a message repeats


@dataclass(frozen=True)
class Response:
    """What a server answered.

    Attributes:
        status: 200, 404, ...
        headers: by name in small letters.
        content: the whole body; of one that is too long, more than MAX_ANSWER bytes of it.
    """

    status: int
    headers: dict[str, str]
    content: bytes


class Redaction:
    """Takes the key out of all that leaves the client: messages, logs, what is kept."""

    def __init__(self, key: str) -> None:
        """Know a key, which may be "": then nothing is taken out."""
        forms = ("".join(map(_any_form, key)), re.escape(base64.b64encode(key.encode()).decode().rstrip("=")))
        self._forms = re.compile("|".join(forms), re.IGNORECASE) if len(key) >= _SHORT else None

    def __call__(self, text: str) -> str:
        """The text with [key] wherever the key stands in it, be it as JSON, Python or a web address would write it."""
        return text if self._forms is None else self._forms.sub("[key]", text)

    def quote(self, text: str) -> str:
        """The start of a foreign text, as one line that can be shown; redacted before it is cut."""
        return printable(" ".join(self(text).split())[:_SHOWN])


def check_address(base: str) -> str:
    """A base URL as it may be used: http or https, a host, no password, nothing after the path.

    Raises:
        PresenceError: it is none; a password in it is not repeated.
    """
    shown = printable(re.sub(r"^(https?://)?.*@", r"\1[hidden]@", re.split(r"[?#]", base)[0], flags=re.DOTALL))[:_SHOWN]
    if "@" in base:
        raise PresenceError(
            f"base URL {shown!r} holds a user name or password, which would stay in records and logs; leave it out, "
            f"and put a key into the environment variable that key_variable names"
        )
    if not _is_web_address(base):
        raise PresenceError(f"base URL {shown!r} is no web address; write http://HOST:PORT/v1 or https://...")
    if "?" in base or "#" in base:
        raise PresenceError(f"base URL {shown!r} goes on with ? or #, after which no path can be added; leave that out")
    return base.rstrip("/")


def check_key(variable: str) -> str:
    """The key that an environment variable holds, without space around it; "" where there is none.

    Raises:
        PresenceError: it cannot stand in a header; the message does not repeat it.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", variable, re.ASCII):
        raise PresenceError(
            "key_variable is no name of an environment variable; give the variable's name, never the key itself"
        )
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise PresenceError(
            f"the key in {variable} holds a line break, a space or another character that no key has; set it anew"
        )
    return key


def post(url: str, body: bytes, headers: dict[str, str], seconds: float) -> Response:
    """Send a request and read the whole answer, of whatever status; redirects are not followed.

    Args:
        url: where to.
        body: what is sent.
        headers: beside those of HTTP itself.
        seconds: from now, for everything: finding the host, connecting, sending, and all that the server sends.

    Raises:
        TimeoutError: no whole answer in time.
        OSError, http.client.HTTPException, ValueError: no connection, or no HTTP.
    """
    line = _Line()
    opener = urllib.request.build_opener(_Plain(line), _Secure(line), _EveryStatus)
    request = urllib.request.Request(url, body, headers, method="POST")

    def exchange() -> Response:
        with opener.open(request, timeout=seconds) as response:
            named = {name.lower(): value for name, value in response.headers.items()}
            return Response(response.status, named, _read(response))

    return _within(seconds, exchange, line.cut)


def _read(response: Any) -> bytes:
    """The body, or so much of it that it is too long; in pieces, because a server may announce any size."""
    content = bytearray()
    while len(content) <= MAX_ANSWER and (piece := response.read1(1 << 16)):
        content += piece
    return bytes(content)


def _within(seconds: float, work: Callable[[], Result], stop: Callable[[], None]) -> Result:
    """What `work` gives or raises, from a thread of its own, which is left behind when the time is over."""
    outcome: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=run, name="pnpovss-chat", daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    finally:
        stop()
    if error is not None:
        raise error
    return result  # pyright: ignore[reportReturnType]


class _Line:
    """The connection of one request, which another thread can cut."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._is_cut = False

    def opened(self, connection: http.client.HTTPConnection) -> None:
        """Note a connection before it connects: a proxy may already keep it waiting then."""
        self._connection = connection

    def connected(self, connected: socket.socket) -> None:
        """Note the socket; one that came too late is cut at once."""
        self._socket = connected
        if self._is_cut:
            self.cut()

    def cut(self) -> None:
        """End whatever waits for the other side."""
        self._is_cut = True
        waiting = self._socket or (self._connection.sock if self._connection else None)
        if waiting is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(waiting, socket.SHUT_RDWR)


def _noted(kind: type[http.client.HTTPConnection], line: _Line) -> Callable[..., http.client.HTTPConnection]:
    class Noted(kind):  # pyright: ignore[reportGeneralTypeIssues]
        def connect(self) -> None:
            line.opened(self)
            super().connect()
            line.connected(self.sock)

    return Noted


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_noted(http.client.HTTPConnection, self._line), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_noted(http.client.HTTPSConnection, self._line), req)


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Hands over answers of every status as they are: no exception that holds a connection, no redirect."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response

    https_response = http_response


def _is_web_address(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return complete and text.isascii() and text.isprintable() and " " not in text


def _any_form(character: str) -> str:
    """A pattern for a character: itself, or escaped as in JSON and Python, or quoted as in a web address."""
    itself, code = re.escape(character), ord(character)
    return rf"(?:\\{{0,3}}{itself}|%{code:02x}|\\{{1,3}}(?:u00|x){code:02x})"
