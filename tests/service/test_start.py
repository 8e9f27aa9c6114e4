"""What is told at the start, not at each request."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.testclient import TestClient

from pnpovss.backbones import registry
from pnpovss.batch.model import ModelChoice
from pnpovss.errors import ConfigError
from pnpovss.service.app import make_app
from pnpovss.service.limits import Limits
from pnpovss.service.options import ServiceOptions
from pnpovss.service.state import Service
from tests.service.conftest import until
from tests.support.fakes import colour_backbone, fake_spec


def started(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, Any], **limits: int) -> Service:
    """A service that was started, and has ended."""
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(colour_backbone()))
    options = ServiceOptions(workers=1, limits=Limits(**limits))
    service = Service(ModelChoice("fake", settings={"presence": None, **settings}), options)
    with TestClient(make_app(service)):
        until(lambda: service.loaded is not None or service.failed is not None)
    return service


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"image_size": 1536}, "setting image_size: this service allows at most 1024, got 1536"),
        ({"crf.iterations": 200}, "setting crf.iterations: this service allows at most 100, got 200"),
    ],
)
def test_settings_with_which_every_request_would_be_refused_are_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], says: str
):
    service = started(monkeypatch, settings)
    assert isinstance(service.failed, ConfigError)
    assert str(service.failed).startswith(
        f"with these settings every request would be refused: {says}; ask for no more"
    )
    assert service.loaded is None


@pytest.mark.parametrize(
    ("settings", "limits", "warns"),
    [
        ({"crf.max_pixels": None, "crf.iterations": 1}, {}, True),
        ({"crf.max_pixels": 5_000_000, "crf.iterations": 1}, {}, True),
        ({"crf.max_pixels": 4_000_000, "crf.iterations": 1}, {}, False),
        ({"crf.max_pixels": None, "crf.iterations": 1}, {"pixels": 4_000_000}, False),
        ({"crf": None}, {}, False),
    ],
)
def test_that_large_photos_will_be_refused_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    limits: dict[str, int],
    warns: bool,
):
    with caplog.at_level(logging.WARNING, "pnpovss"):
        service = started(monkeypatch, settings, **limits)
    assert service.failed is None
    assert ("start with --set crf.max_pixels=4000000" in caplog.text) == warns
    assert ("photos of more than 4,000,000 pixels will be refused" in caplog.text) == warns
