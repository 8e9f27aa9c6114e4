"""What a chat server answers, from the status line on; answers kept on the disk; answers in a file."""

import json
import shutil
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from pnpovss.names import Name
from pnpovss.presence.base import Photo
from pnpovss.presence.llm.filter import Llm, LlmSettings
from pnpovss.presence.registry import make_presence
from tests.fuzz.mutate import change_bytes, change_json, odd_text
from tests.support.chat_server import ChatServer, completion, wire

_NAMES = (Name("cat"), Name("sofa", ("couch",)), Name("potted plant"))
_PRESENT = {"present": [{"id": 1, "name": "cat", "confidence": 95}, {"id": 2, "name": "sofa", "confidence": 80.5}]}
_LISTED = "[1: 'cat', 2: 'sofa'], [95%, 80]"
_HEADERS = ("Retry-After", "Location", "Content-Length", "Transfer-Encoding", "Content-Type", "Connection", "X")


class Chat:
    """A server on this machine that says anything, and files that once were answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = ChatServer().__enter__()
        self._photo = Photo(Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)), "d/a")

    def run(self, rng: Random, number: int) -> None:
        """One photo, asked about twice: the second time, what was kept is read."""
        if number % 5 == 0:
            return self._from_file(rng)
        cache = self._folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        self._server.acts = [wire(_response(rng), again=b"") for _ in range(2)]
        self._server.requests.clear()
        settings = LlmSettings(
            base_url=self._server.url, timeout=0.5, attempts=2, backoff=0, longest_wait=0.1, cache=cache
        )
        Llm("some-model", settings).decide(self._photo, _NAMES)
        for kept in cache.rglob("*.json"):
            kept.write_bytes(change_json(json.loads(kept.read_bytes()), rng).encode("utf-8", "surrogatepass"))
        again = Llm("some-model", settings)
        again.decide(self._photo, _NAMES)
        json.dumps(again.report(), allow_nan=False)
        return None

    def _from_file(self, rng: Random) -> None:
        answers = {"a": {"cat": 0.9, "sofa": 0.1}, "b": ["cat"], "d/a": _LISTED, "c": _LISTED}
        answers["d/a"] = rng.choice(list(answers.values()))
        path = self._folder / "answers.json"
        path.write_bytes(change_json(answers, rng).encode("utf-8", "surrogatepass"))
        made = make_presence(f"file:{path}")
        made.decide(self._photo, _NAMES)
        json.dumps(made.report(), allow_nan=False)


def _response(rng: Random) -> bytes:
    said = json.dumps(_PRESENT)
    if rng.random() < 0.6:
        said = change_json(_PRESENT, rng)
    if rng.random() < 0.3:
        said = rng.choice(("", "Here it is: ", "[]" + " " * 60_000, "```json\n", "{" * 3000)) + said
    body = completion(said)
    if rng.random() < 0.3:
        body = change_json(json.loads(body), rng).encode("utf-8", "surrogatepass")
    status = rng.choice(
        ("200 OK",) * 6 + ("100 Continue", "204 No", "302 Found", "401 No", "429 Wait", "500 Oh", "999")
    )
    headers = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
    if rng.random() < 0.3:
        headers[rng.choice(_HEADERS)] = odd_text(rng)[:2000].encode("ascii", "replace").decode().replace("\n", " ")
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    response = head.encode("latin-1", "replace") + body
    return change_bytes(response, rng, times=1) if rng.random() < 0.2 else response
