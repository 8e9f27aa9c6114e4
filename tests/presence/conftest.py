import pytest

from pnpovss.presence import LlmSettings
from pnpovss.presence.llm.filter import Llm
from tests.support.chat_server import ChatServer


@pytest.fixture
def server():
    with ChatServer() as running:
        yield running


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def naps():
    return []


@pytest.fixture
def ask(server, tmp_path, naps):
    def make(**settings) -> Llm:
        given = {"base_url": server.url, "cache": tmp_path / "answers", "timeout": 5, "attempts": 3}
        return Llm("gpt-4o", LlmSettings(**{**given, **settings}), sleep=naps.append)

    return make
