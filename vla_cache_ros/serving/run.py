# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load a policy, serve it until a signal comes, and end in order. Parses nothing."""

import asyncio
from collections.abc import Callable
import logging
import signal
from typing import Any

from vla_cache_ros.serving.access import check_host
from vla_cache_ros.serving.access import is_loopback
from vla_cache_ros.serving.access import read_token
from vla_cache_ros.serving.access import tls_context
from vla_cache_ros.serving.description import metadata_of
from vla_cache_ros.serving.limits import Limits
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.scheduler import Scheduler
from vla_cache_ros.serving.server import Server
from vla_cache_ros.serving.settings import Serving

LOGGER = logging.getLogger(__name__)


def run_serving(
    load: Callable[[], Any], serving: Serving, limits: Limits, execute_steps: int, seed: int
) -> None:
    """
    Serve until SIGTERM or SIGINT; then answer what was asked before, and return.

    load: returns a policy with room for the sessions. execute_steps: actions of a chunk that
    count when cached and dense ones are compared. Raises ValueError and OSError for what cannot
    be listened on, before anything is loaded, and what loading raises.
    """
    token = read_token(serving.token_file) if serving.token_file else None
    check_host(serving.host, token, serving.insecure)
    tls = tls_context(serving.tls_cert, serving.tls_key)
    if token and not (tls or is_loopback(serving.host)):
        LOGGER.warning('the token travels in clear text; add --tls-cert and --tls-key')
    metrics = Metrics()
    scheduler = Scheduler(
        load,
        metrics,
        sessions=serving.sessions,
        max_batch=serving.max_batch,
        drift_threshold=serving.drift_threshold,
        execute_steps=execute_steps,
        seed=seed,
    )
    policy = scheduler.start()
    try:
        model = metadata_of(policy)
        server = Server(scheduler, model, metrics, limits, token, tls)
        asyncio.run(_serve(server, serving, tls is not None, model.session_bytes))
    finally:
        scheduler.stop(limits.drain_timeout)


async def _serve(server: Server, serving: Serving, secure: bool, session_bytes: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    port = await server.start(serving.host, serving.port)
    host = f'[{serving.host}]' if ':' in serving.host else serving.host
    LOGGER.info(
        'serving %d sessions of %.1f MB at %s://%s:%d',
        serving.sessions,
        session_bytes / 1e6,
        'wss' if secure else 'ws',
        host,
        port,
    )
    await stop.wait()
    LOGGER.info('ending: no new clients; what was asked is answered')
    await server.drain()
