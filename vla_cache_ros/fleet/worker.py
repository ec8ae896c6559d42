# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Work on one task in a process of a Ray cluster, and say where, and what came of it.

Errors travel as text: an exception's class may not be there at the other end. What a process
shares among its tasks is made once; a process works for one job at a time.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import socket
from typing import Any

import ray
from vla_cache_ros.fleet.jobs import Job
from vla_cache_ros.fleet.jobs import reason

PLACE, ITEM, DONE = 'place', 'item', 'done'
FAILED, REFUSED = 'failed', 'refused'

_process: dict[str, Any] = {}  # key: of the job; shared: what its tasks share


def work(key: str, job: Job, same: Mapping[str, str], task: Any) -> Iterator[tuple[str, Any]]:
    """
    Yield where a task runs, then what it yields, then that it is done or why it is not.

    key: tells a job from others. same: what the starting process found of `job.same`. A process
    that finds something else refuses every task.
    """
    here = place()
    yield PLACE, here
    if _process.get('key') != key:
        _process.clear()
        try:
            unlike = differences(same, job.same(job.spec))
            shared = None if unlike else job.begin(job.spec)
        except Exception as error:  # noqa: BLE001 - whatever it is, this node cannot do the job
            unlike = reason(error)
        if unlike:
            yield REFUSED, f'node {here}: {unlike}'
            return
        _process.update(key=key, shared=shared)
    try:
        for item in job.work(_process['shared'], task):
            yield ITEM, item
    except OSError as error:  # a file that is not there may be elsewhere
        yield FAILED, f'{reason(error)} (on node {here})'
    except Exception as error:  # noqa: BLE001 - the others go on
        yield FAILED, reason(error)
    else:
        yield DONE, None


def place() -> str:
    """Return the node that this process is on, for people."""
    return f'{socket.gethostname()} ({ray.get_runtime_context().get_node_id()[:8]})'


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return in one line what a node has otherwise, '' if all is the same."""
    return '; '.join(
        f'expected {name} {value} as where the command was started, got {found.get(name)}'
        for name, value in wanted.items()
        if found.get(name) != value
    )
