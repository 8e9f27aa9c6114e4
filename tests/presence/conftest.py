import pytest

from tests.support.chat_server import ChatServer


@pytest.fixture
def server():
    with ChatServer() as running:
        yield running
