# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Count what a server does, for Prometheus.

Each server counts in a registry of its own. Knows the names of the figures and nothing of who
causes them.
"""

from prometheus_client import CollectorRegistry
from prometheus_client import Counter
from prometheus_client import Gauge
from prometheus_client import generate_latest
from prometheus_client import Histogram
from prometheus_client import ProcessCollector
from vla_cache_ros.serving.messages import CALLS
from vla_cache_ros.serving.messages import KINDS

CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
# Why a connection was refused or closed. connections: there are too many. handshake: no websocket
# came of it in time. token, origin, path: of the request to connect. rate, message_size, frame,
# text: of its messages. silent: no answer to a ping. idle: no request for long. slow_reader:
# answers were not read.
CONNECTION_CAUSES = (
    'connections', 'handshake', 'token', 'origin', 'path', 'rate', 'message_size', 'frame', 'text',
    'silent', 'idle', 'slow_reader',
)  # fmt: skip
CAUSES = (*CONNECTION_CAUSES, *KINDS)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
_TENTHS = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """Hold the figures; every name begins with `vla_cache_`."""

    def __init__(self) -> None:
        """Start at zero, with every cause that there is."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, files
        self.requests = self._histogram(
            'request_seconds', 'From the arrival of a request to its answer', _SECONDS, ['call']
        )
        self.steps = self._histogram('step_seconds', 'Time of a batch on the model', _SECONDS)
        self.batches = self._histogram(
            'batch_size', 'Sessions whose steps ran as one batch', (1, 2, 4, 8, 16, 32)
        )
        self.reuse = self._histogram(
            'reuse', 'Share of visual tokens that a step took from the cache', _TENTHS
        )
        self.refusals = Counter(
            'vla_cache_refusals',
            'Requests and connections refused',
            ['cause'],
            registry=self._registry,
        )
        self.drift_checks = self._counter('drift_checks', 'Cached steps compared with dense ones')
        self.drift_alarms = self._counter('drift_alarms', 'Times when the two had parted')
        self.connections = self._gauge('connections', 'Connections, websockets or not yet')
        self.sessions = self._gauge('sessions', 'Sessions that are open')
        self.room = self._gauge('sessions_limit', 'Sessions that there is room for')
        self.session_bytes = self._gauge('session_bytes', 'Memory of one session')
        for call in CALLS:
            self.requests.labels(call)
        for cause in CAUSES:
            self.refusals.labels(cause)

    def refused(self, cause: str) -> None:
        """Count a refusal; cause: one of `CAUSES`."""
        if cause not in CAUSES:
            raise ValueError(f'cause: expected one of {", ".join(CAUSES)}, got {cause!r}')
        self.refusals.labels(cause).inc()

    def value(self, name: str, **labels: str) -> float:
        """Return one figure by its full name, as `/metrics` shows it."""
        found = self._registry.get_sample_value(name, labels)
        if found is None:
            raise LookupError(f'{name} {labels}: expected a figure of that name')
        return found

    def text(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self._registry)

    def _histogram(
        self, name: str, about: str, buckets: tuple[float, ...], labels: list[str] | None = None
    ) -> Histogram:
        return Histogram(
            f'vla_cache_{name}', about, labels or [], buckets=buckets, registry=self._registry
        )

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(f'vla_cache_{name}', about, registry=self._registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(f'vla_cache_{name}', about, registry=self._registry)
