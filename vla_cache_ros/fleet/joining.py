# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Join a Ray cluster, or start one on this machine, and leave it.

An address is tried before it is handed to Ray, which would wait for minutes. Where Ray is started
here, it reports its use to nobody and has no dashboard.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import os
import socket
import sys

# before Ray is imported: it reads them then
os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'error')
os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')
os.environ.setdefault('RAY_DEDUP_LOGS_SKIP_REGEX', '.')  # Ray's own reports on standard output

import ray  # noqa: E402
from ray._private.services import canonicalize_bootstrap_address  # noqa: E402
from vla_cache_ros.fleet.cluster import RayCluster  # noqa: E402

ANY = 'auto'  # RAY_ADDRESS, else the cluster that this machine belongs to, else one started here
SECONDS = 3.0  # for an address to answer
STORE = 256 * 2**20  # bytes for objects, of a cluster that is started here
_ADDRESS = 'RAY_ADDRESS'  # Ray takes it in place of an address that is given
_PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4  # type of the frame that an HTTP/2 server, such as Ray's, begins with


@contextmanager
def joined(address: str, most: int | None = None) -> Iterator[RayCluster]:
    """
    Join the cluster at HOST:PORT, or with ANY the running one or one started here; leave it after.

    most: tasks at a time at most. Says on stderr which cluster it is. Raises ValueError for what
    is no address, ConnectionError for one where no cluster answers.
    """
    named = os.environ.pop(_ADDRESS, '')  # which Ray prefers to what it is given
    where = address
    if address == ANY:
        where = named or _running()
    try:
        if where:
            _join(where)
        else:
            _start()
        cluster = RayCluster(most)
        how = f'joined {where}' if where else 'started a cluster on this machine'
        print(f'Ray: {how}: {cluster.describe()}', file=sys.stderr)
        yield cluster
    finally:
        ray.shutdown()
        if named:
            os.environ[_ADDRESS] = named


def _running() -> str | None:
    """Return the address of the cluster that this machine belongs to, None if none answers."""
    address = canonicalize_bootstrap_address(None)  # as `ray.init()` does, to say which it is
    if address:
        host, _, port = address.rpartition(':')
        try:
            _try(address, host.strip('[]'), int(port))
        except ConnectionError:  # one that ended without `ray stop`
            return None
    return address


def _start() -> None:
    ray.init(
        address='local',
        num_cpus=len(os.sched_getaffinity(0)),
        include_dashboard=False,
        object_store_memory=STORE,
        log_to_driver=False,
        logging_level='ERROR',
    )


def _join(address: str) -> None:
    host, _, port = address.rpartition(':')
    if not host or '/' in address or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f'ray: expected HOST:PORT of a Ray cluster, got {address!r}')
    _try(address, host.strip('[]'), int(port))
    try:
        ray.init(address=address, log_to_driver=False, logging_level='ERROR')
    except (RuntimeError, ConnectionError, AssertionError) as error:
        text = ' '.join(str(error).split())
        raise ConnectionError(
            f'ray: expected a cluster at {address} that this machine is a node of, got: {text}'
        ) from error


def _try(address: str, host: str, port: int) -> None:
    """Raise ConnectionError unless something that may be Ray answers."""
    try:
        with socket.create_connection((host, port), SECONDS) as link:
            if os.environ.get('RAY_USE_TLS', '0') == '1':
                return
            link.settimeout(SECONDS)
            link.sendall(_PREFACE)
            answer = link.recv(9)
    except OSError as error:
        raise ConnectionError(
            f'ray: expected a cluster at {address}, got {error}; start one with `ray start`, see '
            'docs/fleet.md'
        ) from error
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise ConnectionError(
            f'ray: expected a cluster at {address}, got another service; the port is that of '
            '`ray start --port`, 6379 if not given'
        )
