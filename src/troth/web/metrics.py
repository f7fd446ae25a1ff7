"""Counts for operators' dashboards. Labels are routes, methods and statuses of our own table: never a person's."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from troth.web.routes import Route

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
TEXT = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """One application's metrics, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "troth_http_requests", "Requests answered", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "troth_http_seconds", "Time to answer", ("route",), buckets=BUCKETS, registry=self.registry
        )
        self.stripped = Counter(
            "troth_cookies_stripped", "Cookies that no clause declares, kept from leaving", registry=self.registry
        )
        self.visits = Counter("troth_visits", "Messages to the collector", ("status",), registry=self.registry)
        self._visited: dict[int, Counter] = {}
        self.faults = Gauge("troth_faults", "What is not as it must be just now", registry=self.registry)

    def count(self, route: Route[Any] | None, method: str, status: int, seconds: float, stripped: int) -> None:
        """Count one answer. An address that is not in the table counts as ``none``: paths can hold anything."""
        name = route.path if route is not None else "none"
        self.requests.labels(name, method if method in METHODS else "other", status).inc()
        self.seconds.labels(name).observe(seconds)
        if stripped:
            self.stripped.inc(stripped)

    def visit(self, status: int) -> None:
        """Count one answer of the collector."""
        counter = self._visited.get(status)
        if counter is None:
            counter = self._visited[status] = self.visits.labels(status)
        counter.inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
