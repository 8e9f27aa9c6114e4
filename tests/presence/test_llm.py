"""The client against a real server on this machine that speaks the protocol, and misbehaves."""

import json
import logging
import re
import time
from email.utils import formatdate
from typing import Any

import pytest
from PIL import Image

from pnpovss.errors import PresenceError
from pnpovss.names import Name
from pnpovss.presence import LlmSettings, Photo, Rule, UnansweredError, make_presence
from pnpovss.presence.base import few_digits
from pnpovss.presence.llm.client import RefusedError
from tests.support import chat_server as chat

NAMES = (Name("cat", ("kitten",)), Name("dining table"), Name("sofa"))
PHOTO = Image.new("RGB", (64, 48), (200, 30, 30))
CAT = chat.answer([(1, "cat", 95), (3, "sofa", 70)])


def test_a_photo_is_asked_about(server, ask):
    server.acts = [CAT]
    llm = ask(longest_side=32, price_in=2.5, price_out=10)
    decided = llm.decide(Photo(PHOTO), NAMES)
    assert decided.scores == (0.95, 0.0, 0.7)
    assert decided.kept == (0,)  # 70% is not above 70%
    headers, body = server.requests[0]
    assert body["model"] == "gpt-4o"
    assert "1: cat / kitten\n2: dining table\n3: sofa" in body["messages"][0]["content"][0]["text"]
    assert "Authorization" not in headers
    assert server.photo().size == (32, 24)
    assert server.photo().getpixel((5, 5)) == pytest.approx((200, 30, 30), abs=4)
    assert llm.report() == {
        "photos": 1, "from_cache": 0, "failures": 0, "malformed": 0, "prompt_tokens": 1000, "completion_tokens": 20,
        "requests": 1, "retries": 0, "cost": pytest.approx(0.0027),
    }  # fmt: skip


def test_the_key_comes_from_the_environment_and_stays_secret(server, ask, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    server.acts = [chat.fail(500, "key sk-secret broke us"), CAT, chat.fail(401, "Incorrect API key: sk-secret")]
    llm = ask(key_variable="MY_KEY")
    with caplog.at_level(logging.DEBUG):
        llm.decide(Photo(PHOTO), NAMES)
        with pytest.raises(PresenceError, match=r"refuses, HTTP 401 \(Incorrect API key: \[key\]\).*MY_KEY") as error:
            llm.decide(Photo(PHOTO.rotate(90)), NAMES)
    assert server.requests[0][0]["Authorization"] == "Bearer sk-secret"
    kept = [path.read_text() for path in (tmp_path / "answers").rglob("*.json")]
    assert len(kept) == 1
    assert not any("sk-secret" in text for text in [*kept, caplog.text, str(error.value)])


def test_openai_needs_a_key(tmp_path):
    with pytest.raises(PresenceError, match="OPENAI_API_KEY"):
        make_presence("llm:gpt-4o", settings=LlmSettings(cache=tmp_path))


def test_the_address_comes_from_the_environment_too(server, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
    server.acts = [CAT]
    filter = make_presence("llm:gpt-4o", settings=LlmSettings(cache=tmp_path), rule=Rule(above=0.5))
    assert re.fullmatch("llm:gpt-4o@[0-9a-f]{8}:0.5", filter.key)
    assert filter.decide(Photo(PHOTO), NAMES).kept == (0, 2)
    with pytest.raises(PresenceError, match="no web address"):
        make_presence("llm:gpt-4o", settings=LlmSettings(cache=tmp_path, base_url="localhost:8000"))


def test_the_key_tells_apart_what_answers_depend_on(server, tmp_path):
    def key(**settings: Any) -> str:
        return make_presence(
            "llm:a", settings=LlmSettings(**{"base_url": server.url, "cache": tmp_path, **settings})
        ).key

    assert key(timeout=5, attempts=1, cache=tmp_path / "other") == key()
    others = [{"longest_side": 512}, {"jpeg_quality": 50}, {"temperature": None}, {"temperature": 1}]
    assert len({key(), key(base_url=f"{server.url}/other"), *(key(**each) for each in others)}) == 6
    known = few_digits([f"{server.url}/chat/completions", 768, 85])
    assert key() == key(temperature=0.0) == f"llm:a@{known}:0.7"  # as records have it from before temperatures


def test_answers_are_kept_by_model_question_and_photo(server, ask):
    server.acts = [CAT]
    first = ask().decide(Photo(PHOTO), NAMES)
    again = ask()
    assert again.decide(Photo(PHOTO), NAMES) == first
    assert len(server.requests) == 1
    assert again.report()["from_cache"] == 1
    assert again.report()["prompt_tokens"] == 0
    again.decide(Photo(PHOTO), (*NAMES, Name("dog")))
    again.decide(Photo(Image.new("RGB", (64, 48), (0, 0, 255))), NAMES)
    again.model = "gpt-5"
    again.decide(Photo(PHOTO), NAMES)
    assert len(server.requests) == 4


@pytest.mark.parametrize(("given", "sent"), [(None, []), (0, [("temperature", 0)]), (0.7, [("temperature", 0.7)])])
def test_the_temperature_is_sent_unless_it_is_left_to_the_server(server, ask, given, sent):
    server.acts = [CAT]
    ask(temperature=given).decide(Photo(PHOTO), NAMES)
    body = server.requests[0][1]
    assert [each for each in body.items() if each[0] == "temperature"] == sent
    if given == 0:  # 0.0 would be another request, and no kept answer would be found
        assert type(body["temperature"]) is int
    ask(temperature=1).decide(Photo(PHOTO), NAMES)
    assert len(server.requests) == 2


def test_a_damaged_kept_answer_is_asked_for_again(server, ask, tmp_path, caplog):
    server.acts = [CAT]
    first = ask().decide(Photo(PHOTO), NAMES)
    [kept] = (tmp_path / "answers").rglob("*.json")
    for damage in (kept.read_text()[:20], "[]", '{"answer": 3}', '{"answer": "{}"}'):
        kept.write_text(damage)
        assert ask().decide(Photo(PHOTO), NAMES) == first
    assert len(server.requests) == 5
    assert caplog.text.count("is damaged") == 4
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_an_answer_that_cannot_be_kept_is_still_given(server, ask, tmp_path, caplog):
    server.acts = [CAT]
    (tmp_path / "answers").write_text("a file where the folder should be")
    assert ask().decide(Photo(PHOTO), NAMES).kept == (0,)
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize(
    "trouble",
    [
        chat.fail(500),
        chat.fail(503),
        chat.fail(429),
        chat.raw(b"<html>gateway</html>"),
        chat.raw(b"{}"),
        chat.raw(b"\xff\xfe"),
        chat.say(None),
        chat.truncated,
        chat.slam,
    ],
    ids=["500", "503", "429", "html", "empty", "binary", "no text", "truncated", "slam"],
)
def test_troubles_that_pass(server, ask, naps, trouble):
    server.acts = [trouble, trouble, CAT]
    llm = ask()
    assert llm.decide(Photo(PHOTO), NAMES).kept == (0,)
    assert llm.report()["retries"] == 2
    first, second = naps
    assert 0.75 <= first <= 1.25  # backoff, spread by a quarter
    assert 1.5 <= second <= 2.5


@pytest.mark.parametrize(
    "said",
    [
        "I see a cat.",
        '{"present": [{"id": 1, "name": "cat"',
        '{"names": ["cat"]}',
        '{"present": "cat"}',
        '{"present": ["cat"]}',
        '{"present": [{"id": 4, "name": "dog", "confidence": 90}]}',
        '{"present": [{"id": 2, "name": "cat", "confidence": 90}]}',
        '{"present": [{"id": 1, "name": "cat", "confidence": 900}]}',
    ],
)
def test_malformed_answers_are_counted_and_asked_again(server, ask, said):
    server.acts = [chat.say(said), CAT]
    llm = ask()
    assert llm.decide(Photo(PHOTO), NAMES).kept == (0,)
    report = llm.report()
    assert (report["malformed"], report["retries"], report["failures"]) == (1, 1, 0)
    assert report["prompt_tokens"] == 2000  # the malformed one was paid for, too


def test_malformed_to_the_end(server, ask, tmp_path):
    server.acts = [chat.say("I cannot help with that.")]
    llm = ask()
    with pytest.raises(UnansweredError, match="no usable answer in 3 attempts: a malformed answer: no JSON object"):
        llm.decide(Photo(PHOTO), NAMES)
    assert llm.report()["failures"] == 1
    assert not list((tmp_path / "answers").rglob("*.json"))


def test_words_around_the_json(server, ask):
    server.acts = [chat.answer([(2, "table", 80)], wrap="Sure!\n```json\n{}\n```\nAnything else?")]
    assert ask().decide(Photo(PHOTO), NAMES).kept == (1,)


def test_an_empty_answer_names_nothing(server, ask):
    server.acts = [chat.answer([])]
    assert ask().decide(Photo(PHOTO), NAMES).kept == ()


def test_a_server_without_usage(server, ask):
    server.acts = [chat.answer([(1, "cat", 95)], usage=None)]
    llm = ask()
    llm.decide(Photo(PHOTO), NAMES)
    assert llm.report()["prompt_tokens"] == 0


@pytest.mark.parametrize("header", ["7", formatdate(time.time() + 7, usegmt=True)], ids=["seconds", "date"])
def test_retry_after_is_honoured(server, ask, naps, header):
    if not header.isdigit():
        header = formatdate(time.time() + 7, usegmt=True)
    server.acts = [chat.fail(429, Retry_After=header), CAT]
    ask().decide(Photo(PHOTO), NAMES)
    [nap] = naps
    assert 4 <= nap <= 7


def test_retry_after_is_not_waited_for_without_end(server, ask, naps):
    server.acts = [chat.fail(429, Retry_After="3600"), CAT]
    with pytest.raises(PresenceError, match="asks for 3600 s, more than longest_wait = 60"):
        ask().decide(Photo(PHOTO), NAMES)
    assert naps == []


def test_a_strange_retry_after_falls_back_to_the_backoff(server, ask, naps):
    server.acts = [chat.fail(429, Retry_After="soon"), CAT]
    ask().decide(Photo(PHOTO), NAMES)
    assert 0.75 <= naps[0] <= 1.25


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
def test_a_refusal_of_everything_is_not_repeated(server, ask, naps, status):
    server.acts = [CAT, chat.fail(status, '{"error": {"message": "no such model"}}')]
    llm = ask()
    other = Image.new("RGB", (9, 9))
    llm.decide(Photo(PHOTO), NAMES)
    with pytest.raises(RefusedError, match=f"HTTP {status} .*no such model.*check the address"):
        llm.decide(Photo(other), NAMES)
    with pytest.raises(PresenceError, match="not asked again"):
        llm.decide(Photo(other), NAMES)
    assert len(server.requests) == 2
    assert naps == []
    assert llm.decide(Photo(PHOTO), NAMES).kept == (0,)  # what is known stays known
    assert llm.report()["failures"] == 2


def test_a_refused_photo_does_not_stop_the_next(server, ask):
    server.acts = [chat.fail(400, "image refused"), CAT]
    llm = ask()
    with pytest.raises(UnansweredError, match=r"refuses this photo, HTTP 400 \(image refused\)"):
        llm.decide(Photo(Image.new("RGB", (9, 9))), NAMES)
    assert llm.decide(Photo(PHOTO), NAMES).kept == (0,)


NO_ZERO = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ({"message": NO_ZERO, "param": "temperature"}, r"refuses the temperature, HTTP 400 .*--llm temperature=none"),
        ({"message": NO_ZERO, "param": "None"}, "refuses the temperature"),  # as through a proxy
        ({"message": "no such thing", "param": "model"}, "refuses the model, HTTP 400 .*; check the model's name"),
    ],
)
def test_a_refusal_of_what_every_request_holds_is_no_photos_fault(server, ask, error, wanted):
    server.acts = [chat.fail(400, json.dumps({"error": error}))]
    llm = ask()
    with pytest.raises(RefusedError, match=wanted):
        llm.decide(Photo(PHOTO), NAMES)
    with pytest.raises(RefusedError, match="not asked again"):
        llm.decide(Photo(PHOTO.rotate(90)), NAMES)
    assert len(server.requests) == 1


@pytest.mark.parametrize("said", ['{"error": "temperature"}', "[]", '{"error": {"param": ["model"]}}', "{}"])
def test_an_error_of_another_form_is_this_photos(server, ask, said):
    server.acts = [chat.fail(400, said)]
    with pytest.raises(UnansweredError, match="refuses this photo"):
        ask().decide(Photo(PHOTO), NAMES)


def test_redirects_do_not_carry_the_key_away(server, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.acts = [chat.fail(307, "", Location=f"{server.url}/elsewhere")]
    with pytest.raises(PresenceError, match=r"redirects to http://127.0.0.1:.*/elsewhere; give that address"):
        ask().decide(Photo(PHOTO), NAMES)
    assert len(server.requests) == 1


def test_no_server_at_all(ask, naps):
    llm = ask(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(PresenceError, match="no usable answer in 3 attempts: cannot be reached") as error:
        llm.decide(Photo(PHOTO), NAMES)
    assert not isinstance(error.value, UnansweredError), "that may pass"
    assert len(naps) == 2
