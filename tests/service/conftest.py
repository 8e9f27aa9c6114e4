"""Services to call: in this process with a model whose attention is set by hand, and as a process with `mini`."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from starlette.testclient import TestClient

from pnpovss.backbones import registry
from pnpovss.batch.model import ModelChoice
from pnpovss.service.app import make_app
from pnpovss.service.options import ServiceOptions
from pnpovss.service.state import Service
from tests.support.fakes import FakeBackbone, colour_backbone, fake_spec
from tests.support.serving import Served, served

Serve = Callable[..., TestClient]


@pytest.fixture
def backbone() -> FakeBackbone:
    return colour_backbone()


@pytest.fixture
def serve(backbone: FakeBackbone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a service with the model "fake", which knows red, green and blue, and gives its client."""
    with serving(monkeypatch, backbone) as start:
        yield start


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, backbone: FakeBackbone) -> Iterator[Serve]:
    """The same; options are those of `ServiceOptions`."""
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(backbone))
    with ExitStack() as stack:

        def start(model: str = "fake", **options) -> TestClient:
            choice = ModelChoice(model, settings={"presence": None, "crf": None} if model == "fake" else {})
            app = make_app(Service(choice, ServiceOptions(workers=options.pop("workers", 1), **options)))
            client = stack.enter_context(TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False))
            until(lambda: client.get("/readyz").status_code == 200)
            return client

        yield start


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`pnpovss serve` with `mini`, as a process."""
    with served(tmp_path_factory.mktemp("served")) as process:
        yield process
