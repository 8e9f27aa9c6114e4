"""Who may enter, what every answer carries, and what is logged of it."""

import io
import json
import logging

import pytest

from pnpovss.errors import ConfigError
from pnpovss.service.logs import log_to
from pnpovss.service.options import ServiceOptions, host_from, is_loopback, keys_from, origin_from
from tests.service.conftest import Serve
from tests.service.test_api import flag, post  # noqa: F401

KEY = "a-key-of-letters-and-digits-0123456789"


def test_a_key_is_needed_where_one_is_set(serve: Serve, flag: bytes):  # noqa: F811
    client = serve(keys=("another-key-0123456789", KEY))
    refused = post(client, flag)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    for header in ("", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, "Bearer " + "é" * 20):
        answer = client.get("/v1/models", headers={"authorization": header.encode("latin-1")})
        assert answer.status_code == 401, header
    client.headers["authorization"] = f"Bearer {KEY}"
    assert post(client, flag).status_code == 200
    assert client.get("/metrics").status_code == 200
    del client.headers["authorization"]
    for address in ("/", "/healthz", "/readyz", "/openapi.json", "/page/page.css"):
        assert client.get(address).status_code == 200
    assert client.get("/metrics").status_code == 401
    assert client.get("/openapi.json").json()["security"] == [{"key": []}]


def test_keys_that_are_guessed_or_no_header_holds_are_refused():
    assert keys_from("") == ()
    assert keys_from(f" {KEY} ,{KEY}x") == (KEY, f"{KEY}x")
    for text, says in (("short", "fewer than 16"), ("é" * 20, "no header"), ("with a space 1234567", "no header")):
        with pytest.raises(ConfigError, match=says):
            keys_from(text)
    assert KEY not in repr(ServiceOptions(keys=(KEY,)))


def test_other_names_and_other_pages_are_kept_out(serve: Serve, flag: bytes):  # noqa: F811
    client = serve(origins=("https://friend.example",))
    for host, status in (("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:80", 200), ("evil.example", 403)):
        assert client.get("/v1/models", headers={"host": host}).status_code == status, host
    for origin, status in (
        ("http://127.0.0.1", 200),
        ("https://friend.example", 200),
        ("https://evil.example", 403),
        ("null", 403),
    ):
        answer = client.post(
            "/v1/segment", data={"names": "red"}, files={"photo": ("x", flag)}, headers={"origin": origin}
        )
        assert answer.status_code == status, origin
    asked = {"origin": "https://friend.example", "access-control-request-method": "POST"}
    before = client.options("/v1/segment", headers=asked)
    assert before.headers["access-control-allow-origin"] == "https://friend.example"
    assert "access-control-allow-origin" not in serve().options("/v1/segment").headers


def test_other_hosts_only_where_they_are_named(serve: Serve):
    anywhere = serve(host="0.0.0.0")
    assert anywhere.get("/v1/models", headers={"host": "seg.example"}).status_code == 200
    named = serve(host="0.0.0.0", hosts=("seg.example",))
    assert named.get("/v1/models", headers={"host": "seg.example:443"}).status_code == 200
    assert named.get("/v1/models", headers={"host": "SEG.example"}).status_code == 200
    refused = named.get("/v1/models", headers={"host": "127.0.0.1:8000"})
    assert refused.status_code == 403
    assert "not called '127.0.0.1'; allow that name" in refused.json()["detail"]
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "seg.example")] == [
        *[True] * 3,
        *[False] * 2,
    ]


def test_names_and_origins_are_compared_as_browsers_write_them():
    hosts = {
        "seg.example": "seg.example",
        "SEG.example:8000": "seg.example",
        "[::1]:80": "[::1]",
        "::1": "[::1]",
    }
    assert [host_from(text) for text in hosts] == list(hosts.values())
    origins = {
        "https://friend.example/": "https://friend.example",
        "HTTPS://Friend.Example:443": "https://friend.example",
        "http://friend.example:8080": "http://friend.example:8080",
        "http://[::1]:80/": "http://[::1]",
        "app://local": "app://local",
    }
    assert [origin_from(text) for text in origins] == list(origins.values())


@pytest.mark.parametrize(
    "text", ["", "https://x.example", "x.example/a", "x.example:a", "me@x.example", "a b", "*", "ü.example"]
)
def test_what_is_no_name_of_a_host_is_refused(text: str):
    with pytest.raises(ConfigError, match="is no name of a host"):
        host_from(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "null",
        "x.example",
        "https://",
        "https://x.example/page",
        "https://x.example/?a",
        "https://x.example:a",
        "https://*.example",
        "https://me@x.example",
        "https://ü.example",
    ],
)
def test_what_is_no_origin_is_refused(text: str):
    with pytest.raises(ConfigError, match="is no origin"):
        origin_from(text)


def test_a_page_that_is_let_in_can_read_why_a_request_is_refused(serve: Serve):
    client = serve(keys=(KEY,), origins=("https://friend.example",))
    refused = client.get("/v1/models", headers={"origin": "https://friend.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://friend.example"
    assert "x-request-id" in refused.headers["access-control-expose-headers"]
    other = client.get("/v1/models", headers={"origin": "https://evil.example"})
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers


def test_what_is_asked_before_a_request_of_another_origin_is_logged_and_counted(
    serve: Serve, caplog: pytest.LogCaptureFixture
):
    client = serve(origins=("https://friend.example",))
    with caplog.at_level(logging.INFO, "pnpovss"):
        for origin, status in (("https://friend.example", 200), ("https://evil.example", 400)):
            asked = {"origin": origin, "access-control-request-method": "POST", "x-request-id": "abc-1"}
            answer = client.options("/v1/segment", headers=asked)
            assert answer.status_code == status
            assert answer.headers["x-request-id"] == "abc-1"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
    told = [vars(record) for record in caplog.records if record.getMessage() == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("OPTIONS", "other", 200),
        ("OPTIONS", "other", 400),
    ]
    assert 'pnpovss_requests_total{route="other",status="400"} 1.0' in client.get("/metrics").text


def test_every_answer_has_safe_headers(serve: Serve, flag: bytes):  # noqa: F811
    client = serve()
    for answer in (client.get("/"), client.get("/nowhere"), post(client, flag), post(client, b"")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    assert post(client, flag).headers["cache-control"] == "no-store"


def test_files_of_the_page_are_asked_for_each_time(serve: Serve):
    client = serve()
    for address in ("/", "/page/page.js", "/page/page.css", "/page/examples/cat.jpg"):
        answer = client.get(address)
        assert answer.headers["cache-control"] == "no-cache", address
        if address != "/":
            again = client.get(address, headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


def test_a_request_keeps_the_id_it_came_with(serve: Serve):
    client = serve()
    assert client.get("/v1/models", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 65, '{"a": 1}'):
        assert client.get("/v1/models", headers={"x-request-id": bad}).headers["x-request-id"] != bad


def test_addresses_that_are_not_there_and_methods_that_are_not_taken(serve: Serve):
    client = serve()
    for method, address, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/page/../app.py", 404),
        ("GET", "/page/%2e%2e/app.py", 404),
        ("GET", "/v1/segment", 405),
        ("DELETE", "/", 405),
    ):
        answer = client.request(method, address)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("allow" in answer.headers) == (status == 405)


def test_logs_are_json_with_the_request_and_nothing_of_what_was_asked(serve: Serve, flag: bytes):  # noqa: F811
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("pnpovss", "uvicorn", "py.warnings")]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    log_to(stream)
    try:
        client = serve(keys=(KEY,))
        client.headers["authorization"] = f"Bearer {KEY}"
        post(client, flag, names="red, teapot", settings='{"threshold": 0.4}')
        post(client, b"nonsense", names="teapot")
        client.get("/v1/models?secret=teapot")
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate, level in before:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert [(line["route"], line["status"]) for line in requests] == [
        ("/v1/segment", 200),
        ("/v1/segment", 422),
        ("/v1/models", 200),
    ]
    assert all(len(line["request"]) == 32 and line["ms"] > 0 for line in requests)
    assert "teapot" not in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_a_bug_is_told_as_one_and_logged_with_where(serve: Serve, backbone, flag: bytes, caplog):  # noqa: F811
    def broken(*arguments):
        raise ZeroDivisionError("inside")

    client = serve()
    backbone.match = broken
    with caplog.at_level(logging.ERROR, "pnpovss"):
        answer = post(client, flag)
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:pnpovss:problem:bug"
    assert "inside" not in answer.text
    assert "ZeroDivisionError: inside" in caplog.text


def test_metrics_count(serve: Serve, flag: bytes):  # noqa: F811
    client = serve()
    post(client, flag)
    post(client, flag)
    post(client, b"")
    text = client.get("/metrics").text
    assert 'pnpovss_requests_total{route="/v1/segment",status="200"} 2.0' in text
    assert 'pnpovss_requests_total{route="/v1/segment",status="422"} 1.0' in text
    assert 'pnpovss_memory_lookups_total{found="yes",what="maps"} 1.0' in text
    assert "pnpovss_waiting 0.0" in text
