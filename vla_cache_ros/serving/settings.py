# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a server is asked: where it listens, for whom, for how many. Loads nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Serving(Settings):
    """Say where to listen, who may come, and how many."""

    host: str = '127.0.0.1'
    """Address to listen on; one that other machines reach needs --token-file or --insecure."""
    port: Annotated[int, Bounds(0, 65535)] = 8000
    """Port; 0 takes a free one."""
    sessions: Count = 8
    """Robots that there is room for; memory for all of them is taken at the start."""
    max_batch: Count = 8
    """Most sessions whose steps run as one batch."""
    token_file: Path | None = None
    """File with the token that clients must send."""
    tls_cert: Path | None = None
    """Certificate, PEM; with --tls-key clients connect by wss://."""
    tls_key: Path | None = None
    """Its key, PEM, without a passphrase."""
    insecure: bool = False
    """Listen for other machines without a token: whoever reaches the port drives the arm."""
    drift_threshold: Annotated[float, Bounds(0, 2)] = 0.25
    """Distance of cached from dense actions from which a session's cache is forgotten; 0: off.
    Clients that compare for themselves are not compared here."""
