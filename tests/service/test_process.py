"""The service as a process: what it does when it is told to stop, when a client goes, and when it cannot start."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.service.conftest import until
from tests.support.serving import PROGRAM, Served, served

CAT = (Path(__file__).parents[2] / "examples" / "cat.jpg").read_bytes()


def body(content: bytes = CAT, settings: str = "{}") -> bytes:
    parts = '--x\r\ncontent-disposition: form-data; name="names"\r\n\r\ncat\r\n'
    parts += f'--x\r\ncontent-disposition: form-data; name="settings"\r\n\r\n{settings}\r\n'
    head = b'--x\r\ncontent-disposition: form-data; name="photo"; filename="p"\r\n\r\n'
    return parts.encode() + head + content + b"\r\n--x--\r\n"


HEADERS = {"content-type": "multipart/form-data; boundary=x"}
LONG = '{"dropout.passes": 16, "dropout.drop": 2, "image_size": 1024, "views.tiles": [0.6]}'


def ask(service: Served, settings: str = "{}", content: bytes = CAT) -> int:
    place = urlsplit(service.url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=200)
    connection.request("POST", "/v1/segment", body(content, settings), HEADERS)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def metric(service: Served, name: str, otherwise: float | None = None) -> float:
    place = urlsplit(service.url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = (line.split()[1] for line in text.splitlines() if line.startswith(f"{name} "))
    return float(next(found) if otherwise is None else next(found, otherwise))


def accepted(service: Served) -> float:
    """Requests that were taken so far; one that moves on meanwhile may be missed, and is never counted twice."""
    answered = 'pnpovss_requests_total{route="/v1/segment",status="200"}'  # not there before the first
    done = metric(service, answered, otherwise=0)
    return done + metric(service, "pnpovss_running") + metric(service, "pnpovss_waiting")


def test_a_stop_in_the_middle_loses_nothing_that_was_accepted(tmp_path: Path):
    patient = "--seconds", "180", "--stop-seconds", "180"  # on a busy machine six looks take more than a minute
    with served(tmp_path, "--workers", "1", *patient) as service, ThreadPoolExecutor(6) as pool:
        sizes = range(320, 704, 64)  # each is looked at anew
        answers = [pool.submit(ask, service, f'{{"image_size": {size}, "views": null}}') for size in sizes]
        until(lambda: accepted(service) == 6)  # one that arrives later may be refused
        service.process.send_signal(signal.SIGTERM)
        assert [answer.result(200) for answer in answers] == [200] * 6
        assert service.process.wait(60) == 0
        with pytest.raises(OSError, match="refused"):
            ask(service)


def test_who_goes_away_frees_a_place_and_who_stays_is_refused_politely(tmp_path: Path):
    with served(tmp_path, "--workers", "1", "--waiting", "1") as service:
        place = urlsplit(service.url)
        content = body(settings=LONG)
        head = f"POST /v1/segment HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: {len(content)}\r\n"
        head += f"content-type: {HEADERS['content-type']}\r\n\r\n"
        lines = [socket.create_connection((place.hostname, place.port)) for _ in range(2)]
        for line in lines:
            line.sendall(head.encode() + content)
            until(lambda: metric(service, "pnpovss_running") == 1)
        until(lambda: metric(service, "pnpovss_waiting") == 1)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=60)
        connection.request("POST", "/v1/segment", body(), HEADERS)
        answer = connection.getresponse()
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert b"too many requests are waiting" in answer.read()
        connection.close()
        for line in lines:
            line.close()
        until(lambda: metric(service, "pnpovss_running") == metric(service, "pnpovss_waiting") == 0)
        assert metric(service, "pnpovss_given_up_total") == 2
        assert ask(service) == 200


def test_a_body_that_never_comes_costs_nobody_else(mini: Served):
    place = urlsplit(mini.url)
    lines = [socket.create_connection((place.hostname, place.port)) for _ in range(20)]
    for line in lines:
        line.sendall(b"POST /v1/segment HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\nx")
    assert ask(mini) == 200
    for line in lines:
        line.close()


def test_many_at_once_are_all_answered_and_memory_stays(mini: Served):
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask(mini))) for _ in range(24)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert sorted(set(statuses)) in ([200], [200, 429]), time.monotonic() - begun
    assert len(statuses) == 24
    assert metric(mini, "pnpovss_memory_bytes") <= 512e6


def failed(*options: str, key: str = "", program: str = PROGRAM) -> str:
    """What a service that cannot start says, in one line."""
    call = [sys.executable, "-c", program, "serve", *options]
    done = subprocess.run(call, capture_output=True, text=True, timeout=200, env={**os.environ, "PNPOVSS_API_KEY": key})
    assert done.returncode == 2
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        (("--model", "nowhere"), "", "no backbone knows the model"),
        (("--set", "threshold=2"), "", "setting threshold"),
        (
            ("--set", "image_size=1536"),
            "",
            "every request would be refused: setting image_size: this service allows at most 1024, got 1536; ask for "
            "no more, by --set or --without",
        ),
        ((), "short", "fewer than 16 letters"),
        (("--stop-seconds", "inf"), "", "Invalid value for '--stop-seconds': inf is more than 1,000,000,000"),
        (("--max-megabytes", "inf"), "", "Invalid value for '--max-megabytes': inf is more than 1,000,000,000"),
        (("--allow-origin", "https://x.example/page"), "", "'https://x.example/page' is no origin"),
        (("--host-name", "https://x.example"), "", "'https://x.example' is no name of a host"),
        (("--host", "192.0.2.1"), "", "error: cannot listen at 192.0.2.1:0: "),
        (("--host", f"{'x' * 64}.example"), "", "error: cannot listen at xxx"),
    ],
)
def test_what_cannot_be_served_is_said(options: tuple[str, ...], key: str, says: str):
    said = failed("--port", "0", *options, key=key)
    assert says in said
    assert "a bug" not in said


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = failed("--port", str(port))
    assert f"error: cannot listen at 127.0.0.1:{port}: " in said
    assert "Address already in use" in said
    assert "a bug" not in said


def test_a_file_that_the_model_cannot_have_is_no_address_that_cannot_be_had():
    load = "def load(self): raise PermissionError(13, 'Permission denied', '/cache')"
    said = failed(
        "--port",
        "0",
        program=f"from pnpovss.batch.model import ModelChoice\n{load}\nModelChoice.load = load\n{PROGRAM}",
    )
    assert "Permission denied: '/cache'" in said
    assert "cannot listen" not in said
