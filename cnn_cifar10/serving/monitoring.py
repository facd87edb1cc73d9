"""What the service counts and times, for Prometheus."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class Monitor:
    """The metrics of one application.

    Attributes:
        requests: Counter by `path` and `status`.
        latency: Histogram by `path`, in seconds.
        in_progress: Gauge of the predictions under way.
        pictures: Counter by `model`.
        batches: Histogram by `model`, of the pictures in a run.
        waiting: Gauge by `model`, of the pictures that wait for it.
    """

    def __init__(self):
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "http_requests", "Requests answered", ["path", "status"], registry=registry
        )
        self.latency = Histogram(
            "http_request_duration_seconds",
            "Seconds from request to answer",
            ["path"],
            buckets=_LATENCIES,
            registry=registry,
        )
        self.in_progress = Gauge(
            "predictions_in_progress", "Predictions under way", registry=registry
        )
        self.pictures = Counter("pictures", "Pictures classified", ["model"], registry=registry)
        self.batches = Histogram(
            "batch_pictures",
            "Pictures in a run of the model",
            ["model"],
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self.waiting = Gauge(
            "pictures_waiting", "Pictures that wait for the model", ["model"], registry=registry
        )

    def exposition(self):
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class MeasuredRequests:
    """ASGI middleware that counts and times requests.

    Args:
        app: The application.
        monitor: `Monitor`.
        paths: Paths to tell apart; all others count as `other`, since anyone can
            ask for any.
    """

    def __init__(self, app, monitor, paths):
        self._app, self._monitor, self._paths = app, monitor, paths

    async def __call__(self, scope, receive, send):
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
