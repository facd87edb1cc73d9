"""Counts and times of the service, for Prometheus."""

import functools
import time
from collections.abc import Collection

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Receive, Scope, Send

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class Monitor:
    """The metrics of one application.

    Attributes:
        requests: Counter by `path` and `status`.
        latency: Histogram by `path`, in seconds.
        in_progress: Gauge of the predictions under way.
        images: Counter by `model`.
        batches: Histogram by `model`, of the images in a run.
        waiting: Gauge by `model`, of the images that wait for it.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        counter = functools.partial(Counter, registry=registry)
        gauge = functools.partial(Gauge, registry=registry)
        histogram = functools.partial(Histogram, registry=registry)
        self.requests: Counter = counter("http_requests", "Requests answered", ["path", "status"])
        self.latency: Histogram = histogram(
            "http_request_duration_seconds",
            "Seconds from request to answer",
            ["path"],
            buckets=_LATENCIES,
        )
        self.in_progress: Gauge = gauge("predictions_in_progress", "Predictions under way")
        # Dashboards ask for these names, so they stay.
        self.images: Counter = counter("pictures", "Images classified", ["model"])
        self.batches: Histogram = histogram(
            "batch_pictures", "Images in a run of the model", ["model"], buckets=_BATCH_SIZES
        )
        self.waiting: Gauge = gauge("pictures_waiting", "Images that wait for the model", ["model"])

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class MeasuredRequests:
    """ASGI middleware that counts and times requests.

    Args:
        app: The application.
        monitor: Where they are counted.
        paths: Paths that are counted one by one. All others count as `other`, since
            anyone can ask for any.
    """

    def __init__(self, app: ASGIApp, monitor: Monitor, paths: Collection[str]):
        self._app, self._monitor, self._paths = app, monitor, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        status = 500  # of a request that raises
        began = time.perf_counter()

        async def watched(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._monitor.requests.labels(path, status).inc()
            self._monitor.latency.labels(path).observe(time.perf_counter() - began)
