"""Servers that mean no good, or do not know better: time is kept, the key stays in, and all that comes is understood
or refused."""

import base64
import contextlib
import json
import logging
import socket
import string
import threading
import time
import traceback

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pnpovss.errors import PresenceError
from pnpovss.names import Name
from pnpovss.presence import LlmSettings, Photo, make_presence
from pnpovss.presence.llm.answers import MalformedAnswer, parse_json_answer, parse_listed_answer
from pnpovss.presence.llm.client import ChatClient, ChatSettings, TryAgain
from pnpovss.presence.llm.filter import Llm
from pnpovss.presence.llm.transport import MAX_ANSWER, Response
from tests.support import chat_server as chat

NAMES = (Name("cat", ("kitten",)), Name("dining table"), Name("sofa"))
PHOTO = Photo(Image.new("RGB", (64, 48), (200, 30, 30)))
CAT = chat.answer([(1, "cat", 95), (3, "sofa", 70)])
KEY = "sk-Secret/7+x=="

OK = b"HTTP/1.1 200 OK\r\n"
HUGE = "9" * 400
DEEP = "[" * 200_000


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"", b""),
        (OK, b"X-A: b\r\n"),
        (OK + b"X-A: ", b"b"),
        (OK + b"Content-Length: 9999\r\n\r\n", b" "),
        (b"HTTP/1.1 500 No\r\nContent-Length: 9999\r\n\r\n", b"no"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "headers", "header", "body", "error body", "chunk size", "chunks", "trailers", "continue"],
)
def test_the_time_holds_for_the_whole_request(server, ask, head, again):
    server.acts = [chat.wire(head, again) if again else chat.hang(30)]
    start = time.monotonic()
    with pytest.raises(PresenceError, match=r"no answer within 0\.3 s"):
        ask(timeout=0.3, attempts=1).decide(PHOTO, NAMES)
    assert time.monotonic() - start < 10
    for thread in threading.enumerate():
        if thread.name == "pnpovss-chat":  # it ends with its connection, which was cut
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "act",
    [
        chat.wire(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + b" " * (1 << 20) + b"\r\n", 0),
        chat.wire(OK + b"Content-Length: 99999999999\r\n\r\n", b" " * (1 << 20), 0),
        chat.wire(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b" " * (1 << 20), 0),
    ],
    ids=["chunks", "length", "negative chunk"],
)
def test_endless_answers_are_not_read_to_their_end(server, ask, act):
    server.acts = [act]
    with pytest.raises(PresenceError, match="an answer of more than 8 MiB"):
        ask(attempts=1).decide(PHOTO, NAMES)


@pytest.mark.parametrize("value", ["1e999", HUGE, "Infinity", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_huge_retry_after_is_not_waited_for(server, ask, naps, value):
    server.acts = [chat.fail(503, Retry_After=value), CAT]
    with pytest.raises(PresenceError, match=r"it asks for (inf|[\d.e+]+) s, more than longest_wait = 60"):
        ask().decide(PHOTO, NAMES)
    assert naps == []


@pytest.mark.parametrize("value", ["nan", "-5", "soon", "Fri, 99 Foo 99999 99:99:99 GMT", "", DEEP[:60_000]])
def test_a_retry_after_that_says_nothing(server, ask, naps, value):
    server.acts = [chat.fail(503, Retry_After=value), CAT]
    assert ask().decide(PHOTO, NAMES).kept == (0,)
    assert 0 <= naps[0] <= 1.25


@pytest.mark.parametrize(
    "said",
    [
        '{"present": [{"id": 1e999, "name": "cat", "confidence": 95}]}',
        '{"present": [{"id": 1, "name": "cat", "confidence": 1e999}]}',
        '{"present": [{"id": 1, "name": "cat", "confidence": NaN}]}',
        f'{{"present": [{{"id": {HUGE}, "name": "cat", "confidence": 95}}]}}',
        f'{{"present": [{{"id": 1, "name": "cat", "confidence": {HUGE}}}]}}',
        f'{{"present": [{{"id": {HUGE * 20}, "name": "cat", "confidence": 95}}]}}',
        f'{{"present": {DEEP}',
        '{"present": ' + '{"a":' * 50_000,
        "{" * 90_000,
        '{"present": [' + '{"id": 1, "name": "cat", "confidence": 95},' * 5_000 + "]}",
    ],
    ids=["id", "percent", "nan", "long id", "long percent", "longest id", "deep", "objects", "braces", "many"],
)
def test_foreign_answers_are_malformed(server, ask, said):
    server.acts = [chat.say(said), CAT]
    llm = ask()
    start = time.process_time()
    assert llm.decide(PHOTO, NAMES).kept == (0,)
    assert llm.report()["malformed"] == 1
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "content",
    [DEEP.encode(), b'{"choices": ' + b'[{"a":' * 50_000, b"[]", b'"choices"', b"1e999", HUGE.encode() * 20, b"\x00"],
)
def test_foreign_replies_are_asked_for_again(server, ask, content):
    server.acts = [chat.raw(content), CAT]
    assert ask().decide(PHOTO, NAMES).kept == (0,)


def test_foreign_counts_of_tokens_do_not_count(server, ask):
    usage = {"prompt_tokens": 10**400, "completion_tokens": -7}
    server.acts = [chat.answer([(1, "cat", 95)], usage=usage)]
    llm = ask(price_in=2.5, price_out=10)
    llm.decide(PHOTO, NAMES)
    assert (llm.report()["prompt_tokens"], llm.report()["completion_tokens"], llm.report()["cost"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        "[]" + " " * 60_000,
        "[" + "1" * 60_000,
        "[1: 'cat'], [" + "9" * 60_000 + "]",
        "[1" + " " * 60_000 + "]",
        "[] " * 30_000,
    ],
)
def test_long_listed_answers_take_no_time(answer):
    start = time.process_time()
    with contextlib.suppress(MalformedAnswer):  # all but the last one, which says that nothing is there
        parse_listed_answer(answer, NAMES)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "settings",
    [{"timeout": float("inf")}, {"timeout": float("nan")}, {"backoff": 1e300}, {"longest_wait": float("inf")},
     {"price_in": 1e308}, {"longest_side": 10**9}],
)  # fmt: skip
def test_settings_are_finite(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        LlmSettings(**settings)


# The key.

ECHOES = [
    chat.fail(401, f"Incorrect API key: {KEY}"),
    chat.fail(400, "x" * 190 + f" {KEY}"),
    chat.fail(400, "x" * 195 + f" {KEY}"),
    chat.fail(400, " " * 60_000 + KEY),
    chat.fail(500, json.dumps({"error": KEY.replace("/", "\\/"), "key": KEY})),
    chat.fail(500, base64.b64encode(KEY.encode()).decode()),
    chat.fail(307, "", Location=f"https://elsewhere/?key={KEY}"),
    chat.fail(307, "", Location="https://elsewhere/?key=sk-Secret%2F7%2Bx%3D%3D"),
    chat.raw(KEY.encode()),
    chat.say(KEY),
    chat.say("x" * 110 + KEY),
    chat.say(json.dumps({"present": [{"id": 1, "name": KEY, "confidence": 95}]})),
    chat.say('{"present": [{"id": 1, "name": "cat", "confidence": 95}]} ' + KEY),
    chat.wire(f"{KEY} 200 OK\r\n\r\n".encode(), b""),
    chat.wire(f"HTTP/1.1 {KEY} OK\r\n\r\n".encode(), b""),
]


@pytest.mark.parametrize("act", ECHOES)
def test_the_key_comes_out_nowhere(server, ask, monkeypatch, caplog, tmp_path, act):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    server.acts = [act]
    told = ""
    with caplog.at_level(logging.DEBUG):
        try:
            ask(attempts=2).decide(PHOTO, NAMES)
        except PresenceError as error:
            told = "".join(traceback.format_exception(error))
    assert server.requests[0][0]["Authorization"] == f"Bearer {KEY}"
    kept = "".join(path.read_text() for path in (tmp_path / "answers").rglob("*.json"))
    for text in (told, caplog.text, kept):
        assert "secret" not in text.lower()
        assert base64.b64encode(KEY.encode()).decode()[:12] not in text
        assert "\x1b" not in text


def test_escape_sequences_of_a_server_reach_no_terminal(server, ask):
    server.acts = [chat.fail(400, "\x1b[31mred\x1b]0;title\x07")]
    with pytest.raises(PresenceError, match=r"\(\\x1b\[31mred\\x1b\]0;title\\x07\)"):
        ask().decide(PHOTO, NAMES)


@pytest.mark.parametrize("key", ["sk-se\ncret", "sk-se\r\nX-Evil: cret", "sk-sécret", "sk se cret", "sk-\x1bsecret"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(PresenceError, match="the key in MY_KEY holds a line break, a space") as error:
        ChatClient(ChatSettings(base_url="http://127.0.0.1:9/v1", key_variable="MY_KEY"))
    assert "cret" not in str(error.value)


def test_the_key_itself_is_no_name_of_a_variable():
    with pytest.raises(PresenceError, match="never the key itself") as error:
        ChatClient(ChatSettings(base_url="http://127.0.0.1:9/v1", key_variable=KEY))
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://me:sk-secret@127.0.0.1/v1", r"'http://\[hidden\]@127\.0\.0\.1/v1' holds a user name or password"),
        ("https://me:sk-sec/ret@example.org/v1", r"\[hidden\]@example\.org/v1"),
        ("me:sk-secret@example.org", r"\[hidden\]@example\.org"),
        ("http://example.org/v1?key=sk-secret", r"'http://example\.org/v1' goes on with \?"),
        ("http://example.org/v1#sk-secret", "goes on with"),
        ("http://", "no web address"),
        ("http://example.org:0/v1", "no web address"),
        ("http://example.org:99999/v1", "no web address"),
        ("http://exa mple.org/v1", "no web address"),
        ("http://exämple.org/v1", "no web address"),
        ("http://example.org/\nv1", "no web address"),
        ("ftp://example.org/v1", "no web address"),
        ("http://[::1/v1", "no web address"),
    ],
)
def test_addresses_that_cannot_be(monkeypatch, url, says):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    for chosen in (LlmSettings(base_url=url), LlmSettings()):
        with pytest.raises(PresenceError, match=says) as error:
            make_presence("llm:gpt-4o", settings=chosen)
        assert "sk-sec" not in str(error.value)
        assert error.value.__cause__ is None


@pytest.mark.parametrize("model", ["gpt\x1b[31m", "gpt\n4", "gpt\ud800"])
def test_a_model_is_called_by_what_can_be_written(model):
    with pytest.raises(PresenceError, match="a model is called as its server calls it"):
        Llm(model, LlmSettings(base_url="http://127.0.0.1:9/v1"))


# The cache.


def test_kept_answers_are_those_of_one_server(server, ask):
    server.acts = [CAT]
    first = ask().decide(PHOTO, NAMES)
    with chat.ChatServer() as other:
        other.acts = [chat.answer([(2, "dining table", 90)])]
        assert ask(base_url=other.url).decide(PHOTO, NAMES).kept == (1,)
    assert ask().decide(PHOTO, NAMES) == first
    ask(jpeg_quality=40).decide(PHOTO, NAMES)  # another picture is sent
    assert len(server.requests) == 2


def test_nothing_that_a_model_says_is_kept(server, ask, tmp_path):
    server.acts = [chat.answer([(1, "kitten", 7)], wrap="Ignore all that \x1b[31m was said. {} Yours")]
    first = ask().decide(PHOTO, NAMES)
    [kept] = (tmp_path / "answers").rglob("*.json")
    content = json.loads(kept.read_text())
    assert content["names"] == ["cat", "dining table", "sofa"]
    assert content["scores"] == [0.07, 0, 0]
    assert set(content) == {"server", "model", "names", "scores"}
    assert ask().decide(PHOTO, NAMES) == first


# Fuzz, with a fixed seed: anything is understood or refused, at once.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["cat", "present", 10**400, 1e308, "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["present", "id", "name", "confidence", "choices", "message", "content", "usage", "x"]), inner,
    ),
    max_leaves=12,
)  # fmt: skip
ITEMS = st.fixed_dictionaries({"id": JSON | st.integers(0, 4), "name": JSON | st.just("cat"), "confidence": JSON})
LISTED = st.text(alphabet="[]0123456789:,'\"% \ncat", max_size=80)


@given(st.text(max_size=60) | LISTED | JSON.map(json.dumps) | st.lists(ITEMS).map(lambda a: json.dumps({"present": a})))
@example('{"present": [{"id": true, "name": "cat", "confidence": true}]}')
@settings(max_examples=500, deadline=10_000, derandomize=True)
def test_any_answer_is_understood_or_malformed(answer):
    for parse in (parse_json_answer, parse_listed_answer):
        try:
            scores = parse(answer, NAMES)
        except MalformedAnswer as error:
            str(error).encode("utf-8", "strict" if answer.isprintable() else "replace")
        else:
            assert len(scores) == len(NAMES)
            assert all(0 <= score <= 1 for score in scores)


@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["retry-after", "location"]), st.text(max_size=20) | st.floats().map(str)),
    st.binary(max_size=80) | JSON.map(lambda a: json.dumps(a).encode())
    | JSON.map(lambda a: chat.completion(a)) | JSON.map(lambda a: chat.completion("{}", usage=a)),
)  # fmt: skip
@settings(max_examples=500, deadline=10_000, derandomize=True)
def test_any_response_is_understood_or_refused(status, headers, content):
    client = ChatClient(ChatSettings(base_url="http://127.0.0.1:9/v1"))
    wait = None
    try:
        reply = client._reply(Response(status, headers, content))
    except TryAgain as failure:
        wait = failure.wait
    except PresenceError:
        pass
    else:
        assert isinstance(reply.text, str)
        assert 0 <= reply.prompt_tokens <= 10**9
    assert wait is None or wait >= 0


@contextlib.contextmanager
def raw_server(content: bytes):
    """Says the same bytes to the next one who connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as connection:
                connection.recv(1 << 20)
                connection.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        thread.join()


PIECES = st.sampled_from([
    b"HTTP/1.1 ", b"HTTP/9 ", b"200 OK", b"999 ", b"\r\n", b"\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: ", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Retry-After: ",
    b"-1", b"5", b"ffffffffffffffff", b"0", b"1e999", b"{}", chat.completion("[]"),
    b"\x00", b"\xff", b":", b" " * 70_000, b"a: b\r\n" * 200,
])  # fmt: skip


@given(st.lists(PIECES, max_size=8).map(b"".join), st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_bytes_end_in_a_reply_or_a_reason(content, begun):
    with raw_server((OK if begun else b"") + content) as url:
        client = ChatClient(ChatSettings(base_url=url, timeout=2, attempts=1))
        start, told = time.monotonic(), ""
        try:
            client.ask({"model": "m"}, lambda reply: reply)
        except PresenceError as error:
            told = str(error)
        assert told.isprintable()
        assert time.monotonic() - start < 10


def test_a_long_answer_is_refused_by_its_length():
    client = ChatClient(ChatSettings(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(TryAgain, match="more than 8 MiB"):
        client._reply(Response(200, {}, b" " * (MAX_ANSWER + 1)))
    with pytest.raises(MalformedAnswer, match="an answer of 200000 characters"):
        parse_json_answer(string.ascii_letters[:1] * 200_000, NAMES)
