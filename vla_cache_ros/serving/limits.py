# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a server bounds, so that no client takes memory, time or files from the others."""

from dataclasses import dataclass
from typing import Annotated

from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Settings

Seconds = Annotated[float, Bounds(0.05)]


@dataclass(frozen=True, kw_only=True)
class Limits(Settings):
    """Bound connections, what travels on them, and how long anything is waited for."""

    max_connections: Count = 64
    """Connections at a time, those that have not said who they are included."""
    max_message_bytes: Annotated[int, Bounds(1024, 2**28)] = 16 * 2**20
    """Bytes of a message; two pictures of 1920 x 1080 are 12.4 million."""
    max_message_rate: Annotated[float, Bounds(1)] = 100.0
    """Messages a second of one connection, in the mean; twice as many at once."""
    max_waiting: Annotated[int, Bounds(1, 64)] = 8
    """Requests of one connection that are not answered yet; more are not read."""
    handshake_timeout: Seconds = 5.0
    """Seconds for TLS, and again for the upgrade to a websocket."""
    ping_timeout: Seconds = 5.0
    """Seconds after which a client is pinged, and after which one that is silent is let go."""
    idle_timeout: Annotated[float, Bounds(0)] = 600.0
    """Seconds without a request after which a session is closed; 0: never."""
    write_timeout: Seconds = 5.0
    """Seconds for a client to read an answer before it is let go."""
    drain_timeout: Seconds = 10.0
    """Seconds for requests that were taken before the server was told to stop."""


class Rate:
    """Allow so many events a second in the mean, and twice as many at once."""

    def __init__(self, rate: float, now: float) -> None:
        """Start with a full bucket. rate: per second. now: s."""
        self._rate, self._left, self._then = rate, 2 * rate, now

    def take(self, now: float) -> bool:
        """Count an event at a time (s); return whether it is within the rate."""
        self._left = min(self._left + (now - self._then) * self._rate, 2 * self._rate)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
