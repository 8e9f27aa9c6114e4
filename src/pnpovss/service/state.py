"""The running service: the model once it is loaded, its workers, and what they remember."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any, cast

import numpy as np
from PIL import Image

from pnpovss.backbones.base import Backbone
from pnpovss.batch.model import ModelChoice
from pnpovss.config import Settings
from pnpovss.errors import ConfigError
from pnpovss.memory import Memory
from pnpovss.segmenter import Segmenter
from pnpovss.service.arriving import Arriving
from pnpovss.service.batching import Together
from pnpovss.service.limits import Limits, crf_pixels_of
from pnpovss.service.metrics import Metrics
from pnpovss.service.options import ServiceOptions
from pnpovss.service.remembering import Remembering
from pnpovss.service.work import Workers

__all__ = ["Loaded", "Service"]

logger = logging.getLogger(__name__)

_PATIENCE = 0.6  # of the time that a request may take: what it may wait, as far as can be told


class Loaded:
    """What there is once the model is loaded.

    Attributes:
        segmenter: the model, with the settings of the service.
        sight: the same, with what is remembered.
        workers: who compute.
        arriving: what is kept of requests before they wait for workers.
    """

    def __init__(self, segmenter: Segmenter, options: ServiceOptions) -> None:
        device, cores = segmenter.backbone.card.device.type, options.cores()
        count = options.workers or (cores if device == "cpu" else 4)
        batch = options.batch or (1 if device == "cpu" else 8)
        backbone = segmenter.backbone if batch == 1 else cast(Backbone, Together(segmenter.backbone, batch))
        self.segmenter = segmenter
        self.sight = Remembering(backbone, Memory(options.limits.memory_bytes), options.limits)
        share = _share(cores) if device == "cpu" else lambda busy: None
        self.workers = Workers(
            count,
            options.limits.waiting,
            share,
            patience=options.limits.seconds * _PATIENCE,
        )
        self.arriving = Arriving(options.limits.arriving * options.limits.body_bytes)


class Service:
    """From start to stop.

    Attributes:
        choice: of the model and its settings.
        options: how it is run.
        metrics: what it tells of itself.
        loaded: None until the model is there.
        failed: why the model cannot be had; None where nothing is wrong.
    """

    def __init__(self, choice: ModelChoice, options: ServiceOptions) -> None:
        self.choice = choice
        self.options = options
        self.metrics = Metrics()
        self.loaded: Loaded | None = None
        self.failed: BaseException | None = None
        self.on_failure: Callable[[], Any] = lambda: None
        self._loader: threading.Thread | None = None
        self._end = inf  # on the monotonic clock [s], once it is told to stop

    async def start(self) -> None:
        """Begin to load the model; the service answers meanwhile that it is not ready."""
        loop = asyncio.get_running_loop()
        self._loader = threading.Thread(target=self._load, args=(loop,), name="loader", daemon=True)
        self._loader.start()

    def told_to_stop(self) -> None:
        """From now on `options.stop_seconds` count; without this call they do from `stop` on."""
        self._end = min(self._end, time.monotonic() + self.options.stop_seconds)

    async def stop(self) -> None:
        """Finish what was accepted, as far as the time goes; what is left is given up."""
        self.told_to_stop()
        left = max(0.0, self._end - time.monotonic())
        if self.loaded is not None and (unfinished := await asyncio.to_thread(self.loaded.workers.close, left)):
            logger.warning("not finished within %g s, and given up: %d", self.options.stop_seconds, unfinished)

    @property
    def is_busy(self) -> bool:
        """Whether a thread still loads the model, or computes a request, though nobody waits for it."""
        loads = self._loader is not None and self._loader.is_alive()
        return loads or (self.loaded is not None and self.loaded.workers.running > 0)

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        begun = time.perf_counter()
        try:
            segmenter = self.choice.load()
            _check(segmenter.config, self.options.limits)
            _warm_up(segmenter)  # whatever is wrong with the model is told here
            loaded = Loaded(segmenter, self.options)
        except BaseException as error:  # told to whoever started the service
            self.failed = error
            loop.call_soon_threadsafe(self.on_failure)
            return
        self.metrics.watch(loaded.workers, loaded.sight.memory)
        self.loaded = loaded
        extra = {
            "model": self.choice.model,
            "workers": loaded.workers.count,
            "seconds": round(time.perf_counter() - begun, 2),
        }
        logger.info("ready", extra=extra)


def _share(cores: int) -> Callable[[int], None]:
    """Each worker computes with its part of the cores; one that is alone has them all."""

    def before(busy: int) -> None:
        import torch

        torch.set_num_threads(max(1, cores // busy))

    return before


def _check(settings: Settings, limits: Limits) -> None:
    """What requests would be told is told at the start.

    Raises:
        ConfigError: every request that leaves the settings as they are would be refused.
    """
    try:
        limits.check_settings(settings)
    except ConfigError as error:
        raise ConfigError(
            f"with these settings every request would be refused: {error}, by --set or --without"
        ) from error
    if limits.pixels > limits.crf_pixels and not limits.takes_large_photos(settings):
        logger.warning(
            "photos of more than %s pixels will be refused, since crf.max_pixels is %s; to take them start with "
            "--set crf.max_pixels=%d",
            f"{limits.crf_pixels:,}",
            crf_pixels_of(settings),
            limits.crf_pixels,
        )


def _warm_up(segmenter: Segmenter) -> None:
    """Segment a picture, one view of it, so that nobody's first request waits for what is loaded or compiled once."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    one_view = segmenter.replace(config=segmenter.config.without("views"))
    one_view(Image.fromarray(noise), ["cat", "grass"], present=[0, 1])
