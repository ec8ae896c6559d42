# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs without a model, for the processes of a cluster: they count, fail, die and differ."""

import os
from pathlib import Path
import time

from vla_cache_ros.fleet.jobs import Job


def begin(spec):
    """Return what the tasks of a process share."""
    if spec.get('broken'):
        raise ValueError('no such model')
    return {'pid': os.getpid(), 'done': 0}


def work(shared, task):
    """Do what a task says; yield (what it was, pid, how many before it in this process)."""
    kind, value = task
    for index in range(value if kind == 'pieces' else 0):
        yield index, bytes(1000)
    if kind == 'sleep':
        time.sleep(value)
    elif kind == 'raise':
        raise ValueError(f'cannot do {value}')
    elif kind == 'missing':
        Path(value).read_bytes()
    elif kind == 'die':
        os._exit(1)
    elif kind == 'die once' and not Path(value).exists():
        yield 'before the end', b''
        Path(value).touch()
        os._exit(1)
    shared['done'] += 1
    yield value, shared['pid'], shared['done']


def same(spec):
    """Return what must be equal: a version that a test can make differ by process."""
    started = Path(spec['driver']).read_text() == str(os.getpid()) if 'driver' in spec else True
    return {'torch': '1.0' if started else '2.0', 'Python': '3'}


def counting(**spec):
    """Return the job."""
    return Job(spec, begin, work, same)
