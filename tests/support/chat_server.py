"""A real HTTP server on this machine that speaks OpenAI's chat completions, and misbehaves on request."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

# What to do with one request; plays with the handler directly.
Act = Callable[["_Handler"], None]


class ChatServer:
    """Answers each request with the next act; the last act is repeated.

    Attributes:
        acts: in order.
        requests: (headers, body) of each request so far, in order.
    """

    def __init__(self) -> None:
        self.acts: list[Act] = [answer([])]
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.chat = self  # pyright: ignore[reportAttributeAccessIssue]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> "ChatServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def photo(self, request: int = -1) -> Image.Image:
        """The photo that came with a request."""
        url = self.requests[request][1]["messages"][0]["content"][1]["image_url"]["url"]
        head, _, data = url.partition(",")
        assert head == "data:image/jpeg;base64"
        return Image.open(io.BytesIO(base64.b64decode(data)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: ChatServer = self.server.chat  # pyright: ignore[reportAttributeAccessIssue]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions"
        act = server.acts[min(len(server.requests), len(server.acts) - 1)]
        server.requests.append((dict(self.headers), body))
        self.close_connection = True
        act(self)

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None, length: int | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": str(length or len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def completion(text: Any, **changes: Any) -> bytes:
    reply = {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020},
    }
    return json.dumps({**reply, **changes}).encode()


def answer(present: Sequence[tuple[int, str, float]], wrap: str = "{}", **changes: Any) -> Act:
    items = [{"id": i, "name": name, "confidence": confidence} for i, name, confidence in present]
    return say(wrap.replace("{}", json.dumps({"present": items})), **changes)


def say(text: Any, **changes: Any) -> Act:
    return lambda handler: handler.reply(200, completion(text, **changes))


def fail(status: int, text: str = '{"error": "no"}', **headers: str) -> Act:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.reply(status, text.encode(), named)


def raw(content: bytes) -> Act:
    return lambda handler: handler.reply(200, content)


def truncated(handler: "_Handler") -> None:
    """Promises more than it sends."""
    whole = completion('{"present": []}')
    handler.reply(200, whole[: len(whole) // 2], length=len(whole))


def hang(seconds: float) -> Act:
    """Says nothing for a while."""
    return lambda handler: time.sleep(seconds)


def wire(head: bytes, again: bytes, pause: float = 0.02) -> Act:
    """Bytes on the wire as they stand: a head, then the same piece for ever, until the client has gone."""

    def act(handler: "_Handler") -> None:
        try:
            handler.wfile.write(head)
            while again:
                handler.wfile.write(again)
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:  # the client has gone, as it should
            pass

    return act


def slam(handler: "_Handler") -> None:
    """Closes the connection without a word."""
    handler.wfile.close()
