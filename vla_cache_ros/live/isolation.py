# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the ROS traffic of tests, demo and benchmarks on this machine and apart from other runs.

A user's own launch does not come here: its domain and discovery range are the user's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from pathlib import Path
import random
import tempfile

_DOMAINS = range(1, 102)  # the ids whose ports stay below Linux's ephemeral range


@contextmanager
def isolated_domain() -> Iterator[dict[str, str]]:
    """
    Yield the environment variables of a ROS domain that no other run of this user holds.

    A lock file per domain marks it as taken; the lock goes with the process that holds it.
    Raises RuntimeError when all domains are taken.
    """
    folder = Path(tempfile.gettempdir()) / 'vla_cache_ros_domains'
    folder.mkdir(mode=0o777, exist_ok=True)
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        try:
            lock = (folder / str(domain)).open('w')
        except OSError:  # another user's
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield {
                'ROS_DOMAIN_ID': str(domain),
                'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                'ROS_STATIC_PEERS': '',
            }
            return
    raise RuntimeError(f'expected a free ROS domain among {_DOMAINS}, all are taken; see {folder}')
