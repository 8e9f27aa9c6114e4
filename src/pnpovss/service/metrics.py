"""What the service tells of itself to Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pnpovss.memory import Memory
from pnpovss.service.work import Workers

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 25, 60)


class Metrics:
    """Counts and times, by route and status."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pnpovss_requests", "Requests, by route and status", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "pnpovss_request_seconds",
            "Time to the end of an answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waited = Histogram(
            "pnpovss_waiting_seconds", "Time until a worker took a request", buckets=_SECONDS, registry=self.registry
        )
        self.computed = Histogram(
            "pnpovss_computing_seconds", "Time that a worker took", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.given_up = Counter("pnpovss_given_up", "Requests whose client went away", registry=self.registry)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def watch(self, workers: Workers, memory: Memory) -> None:
        """Tell of these, too, whenever somebody asks."""
        self.registry.register(_Now(lambda: _now(workers, memory)))

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Now(Collector):
    """Values that are read when they are asked for."""

    def __init__(self, read: Callable[[], Iterator[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        return self._read()

    def describe(self) -> list[Metric]:
        """Nothing: values are not read before somebody asks."""
        return []


def _now(workers: Workers, memory: Memory) -> Iterator[Metric]:
    yield GaugeMetricFamily("pnpovss_waiting", "Requests that wait for a worker", value=workers.waiting)
    yield GaugeMetricFamily("pnpovss_running", "Requests that are computed", value=workers.running)
    yield GaugeMetricFamily("pnpovss_memory_bytes", "What is remembered of photos", value=memory.bytes)
    looked = CounterMetricFamily(
        "pnpovss_memory_lookups", "By what, and whether it was there", labels=("what", "found")
    )
    for found, counts in (("yes", memory.found), ("no", memory.missed)):
        for what, count in sorted(counts.items(), key=str):
            looked.add_metric((str(what), found), count)
    yield looked
