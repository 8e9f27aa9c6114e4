"""What nobody waits for ends soon, a service that is told to stop ends in time, and no request may ask for too much."""

import asyncio
import signal
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pnpovss.config import PRESETS, Settings
from pnpovss.errors import ConfigError
from pnpovss.service import method, remembering
from pnpovss.service.limits import Limits
from pnpovss.service.work import GivenUp, Late, Workers, go_on
from tests.service.conftest import Serve, until
from tests.service.test_api import post
from tests.service.test_process import HEADERS, body, metric
from tests.support.fakes import FakeBackbone, colour_backbone
from tests.support.program_calls import save_flag
from tests.support.serving import PROGRAM, served


@pytest.mark.parametrize("address", ["/v1/segment", "/v1/steps"])
def test_the_dense_crf_ends_at_the_next_iteration(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
):
    client, flag = serve(), save_flag(tmp_path / "flag.png").read_bytes()
    asked: list[int] = []
    most = 1000

    def late() -> None:
        asked.append(1)
        if len(asked) == most:
            raise Late

    for module in (remembering, method):
        monkeypatch.setattr(module, "go_on", late)
    answer = post(client, flag, address=address, settings='{"crf.iterations": 20}')
    assert answer.status_code == 200
    assert len(asked) > 20
    most = len(asked) + 70
    answer = post(client, flag, address=address, settings='{"crf.iterations": 90, "threshold": 0.2}')
    assert answer.status_code == 503
    assert len(asked) == most


def test_what_is_not_done_when_the_time_to_stop_is_over_is_given_up():
    async def main() -> None:
        ended, go = threading.Event(), threading.Event()

        def long() -> None:
            go.wait(60)
            try:
                go_on()
            except GivenUp:
                ended.set()
                raise

        workers = Workers(1, 8)
        workers.submit(long, 60)
        never = workers.submit(lambda: pytest.fail("begun"), 60)
        while not workers.running:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(workers.close, 0.05) == 2
        assert never.given_up
        go.set()
        assert await asyncio.to_thread(ended.wait, 60)
        assert await asyncio.to_thread(workers.close) == 0

    asyncio.run(main())


STUCK = f"""
import time
from concurrent.futures import ThreadPoolExecutor
from pnpovss.service.remembering import Remembering
Remembering.explain = lambda *_: ThreadPoolExecutor(1).submit(time.sleep, 300).result()
{PROGRAM}"""


def test_a_service_ends_in_time_though_a_step_does_not(tmp_path: Path):
    with served(tmp_path, "--workers", "1", "--stop-seconds", "1", program=STUCK) as service:
        place, content = urlsplit(service.url), body()
        head = f"POST /v1/segment HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: {len(content)}\r\n"
        with socket.create_connection((place.hostname, place.port)) as line:
            line.sendall(f"{head}content-type: {HEADERS['content-type']}\r\n\r\n".encode() + content)
            until(lambda: metric(service, "pnpovss_running") == 1)
        until(lambda: metric(service, "pnpovss_given_up_total") == 1)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
        assert "not finished within 1 s, and given up: 1" in service.log.read_text()


@pytest.fixture
def backbone() -> FakeBackbone:
    return colour_backbone()


def settings(backbone: FakeBackbone, preset: str = "default", **replaced) -> Settings:
    dotted = {name.replace("__", "."): value for name, value in replaced.items()}
    return PRESETS[preset].replace(dotted).resolve(backbone.card)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_may_be_asked_at_the_greatest_sizes_with_what_the_page_offers(backbone: FakeBackbone, preset: str):
    limits = Limits()
    most = settings(backbone, preset, image_size=limits.image_size, crf__iterations=30)
    limits.check_settings(most)
    for pixels, names in ((limits.crf_pixels, 31), (2_000_000, 63), (1_960_000, 64)):
        limits.check_photo((pixels // 1000, 1000), names, most)


def test_many_large_looks_are_refused(backbone: FakeBackbone):
    looks = {"views__tiles": [0.6, 0.5], "views__tiles_across": 4}  # 34 of them
    Limits().check_settings(settings(backbone, image_size=512, **looks))
    with pytest.raises(ConfigError, match="21,000,000 pixels in all looks at a photo, got 34 looks at 1024 x 1024"):
        Limits().check_settings(settings(backbone, image_size=1024, **looks))


def test_names_times_pixels_times_iterations_are_bounded(backbone: FakeBackbone):
    most = settings(backbone, crf__iterations=100, crf__max_pixels=4_000_000)
    with pytest.raises(ConfigError, match=r"at most 32 for 30 names on 4,000,000 pixels .* got 100; ask for fewer"):
        Limits().check_photo((2000, 2000), 30, most)
    Limits().check_photo((2000, 2000), 9, most)
    Limits().check_photo((2000, 2000), 30, settings(backbone, crf__iterations=100, crf__max_pixels=1_000_000))
    Limits().check_photo((2000, 2000), 30, settings(backbone, crf=None))
