"""The server's metrics for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest

from serving.server.metrics import Metrics

PREFIX = "facerelief_serving"
DEFAULT_SIGNATURE = "serving_default"
OTHER = "other"
"""Label of names that no model here has: clients choose these, and each label costs memory."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class PrometheusMetrics(Metrics):
    """Counts in a registry of its own, so that two servers in a process share nothing."""

    def __init__(self):
        self._registry = registry = CollectorRegistry()
        self._known: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        ProcessCollector(registry=registry)
        where = ("model", "signature")
        self._requests = Counter(
            f"{PREFIX}_requests",
            "Answered requests.",
            (*where, "method", "protocol", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            f"{PREFIX}_request_seconds",
            "Time of requests that were answered with OK.",
            (*where, "method", "protocol"),
            buckets=SECONDS,
            registry=registry,
        )
        self._sizes = Histogram(
            f"{PREFIX}_batch_size",
            "Examples in one run of the graph.",
            where,
            buckets=SIZES,
            registry=registry,
        )
        self._depth = Gauge(
            f"{PREFIX}_queue_depth", "Requests that wait for the graph.", where, registry=registry
        )
        self._load = Gauge(
            f"{PREFIX}_model_load_seconds",
            "Time that loading and warming up a version took.",
            ("model", "version"),
            registry=registry,
        )

    def request(
        self, model: str, signature: str, *, method: str, protocol: str, code: str, seconds: float
    ) -> None:
        labels = (*self._labels(model, signature), method, protocol)
        self._requests.labels(*labels, code).inc()
        if code == "OK":
            self._seconds.labels(*labels).observe(seconds)

    def batch(self, model: str, signature: str, size: int) -> None:
        self._sizes.labels(*self._labels(model, signature)).observe(size)

    def queue_depth(self, model: str, signature: str, depth: int) -> None:
        self._depth.labels(*self._labels(model, signature)).set(depth)

    def model_loaded(
        self, model: str, version: int, *, seconds: float, signatures: Iterable[str]
    ) -> None:
        with self._lock:
            self._known[model] = self._known.get(model, set()) | set(signatures)
        self._load.labels(model, str(version)).set(seconds)

    def _labels(self, model: str, signature: str) -> tuple[str, str]:
        """Names that a served model has, or OTHER."""
        signature = signature or DEFAULT_SIGNATURE
        with self._lock:
            signatures = self._known.get(model)
        if signatures is None:
            return OTHER, OTHER
        return model, signature if signature in signatures else OTHER

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
