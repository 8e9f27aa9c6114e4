import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `chat_server`

from chat_server import ChatServer


@pytest.fixture
def server():
    with ChatServer() as running:
        yield running
