# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run the tasks of a job on a Ray cluster; a task whose process or node is lost runs again.

Ray starts processes and carries arguments and results; which task runs next, how often, and what a
loss means is decided here. No code travels: each node has this package, of the same version.
"""

from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
import logging
import time
from typing import Any
import uuid

import ray
from ray.exceptions import RayError
from ray.exceptions import RayTaskError
from vla_cache_ros.fleet import worker
from vla_cache_ros.fleet.jobs import Job
from vla_cache_ros.fleet.jobs import Outcome
from vla_cache_ros.fleet.jobs import reason

TRIES = 3  # of a task whose process dies
AHEAD = 4  # things that a task has yielded and nobody has taken yet
PATIENCE = 60.0  # s without any node that could take a task
LOOK = 1.0  # s between two looks at what the cluster has

Piece = Callable[[int, int, Any], None]  # index of a task, which try it is, what it yielded

_logger = logging.getLogger(__name__)


@dataclass
class _Running:
    """Hold a task that was handed out; last: what it yielded last, in a list once it did."""

    index: int
    task: Any
    tries: int
    place: str = ''
    last: tuple[Any, ...] = ()


class RayCluster:
    """
    Run tasks on the cluster that this process has joined; see `joined`.

    most: tasks at a time at most, None for as many as there are processors (or GPUs).
    """

    def __init__(self, most: int | None = None):
        self._most = most
        self._looked, self._slots, self._nodes = -LOOK, 0, 0
        self._seen = time.monotonic()  # when there was a node that takes tasks
        self._retried = 0

    @property
    def processes(self) -> int:
        """Return how many tasks run at a time, as of now, without regard to GPUs."""
        self._look('CPU')
        return max(1, min(self._slots, self._most or self._slots))

    @property
    def status(self) -> str:
        """Return how many nodes there are, and how many tasks had to run again."""
        again = f', {self._retried} run again' if self._retried else ''
        return f'{self._nodes} node{"" if self._nodes == 1 else "s"}{again}'

    def describe(self) -> str:
        """Return what the cluster has, in words."""
        found = ray.cluster_resources()
        nodes = sum(node['Alive'] for node in ray.nodes())
        text = f'{nodes} node{"s" if nodes != 1 else ""}, {found.get("CPU", 0):g} CPUs'
        return text + (f', {found["GPU"]:g} GPUs' if found.get('GPU') else '')

    def run(self, job: Job, tasks: Iterable[Any], piece: Piece | None = None) -> Iterator[Outcome]:
        """
        Yield an outcome for each task as it comes, in any order.

        tasks: taken one by one as there is room. piece: is given what a task yields before its
        result, as it comes; a try that is lost begins anew under a higher number. Raises
        ValueError naming a node that differs, ConnectionError where no node takes tasks.
        """
        key, same, kind = uuid.uuid4().hex, job.same(job.spec), 'GPU' if job.gpu else 'CPU'
        start = ray.remote(worker.work).options(
            num_cpus=1,
            num_gpus=int(job.gpu),
            max_retries=0,  # counted here: Ray's own would not tell
            num_returns='streaming',
            _generator_backpressure_num_objects=AHEAD,
        )
        fresh = enumerate(tasks)
        again: deque[_Running] = deque()
        running: dict[Any, _Running] = {}
        self._seen = time.monotonic()
        while True:
            while len(running) < self._room(kind):
                following = again.popleft() if again else next(fresh, None)
                if following is None:
                    break
                if not isinstance(following, _Running):
                    following = _Running(*following, tries=1)
                running[start.remote(key, job, same, following.task)] = following
            if not running:
                return
            ready, _ = ray.wait(list(running), timeout=LOOK, fetch_local=False)
            for stream in ready:
                outcome = self._advance(stream, running[stream], piece)
                if outcome is None:
                    continue
                lost = running.pop(stream)
                if outcome is not _LOST:
                    yield outcome
                elif lost.tries < TRIES:
                    self._retried += 1
                    again.append(_Running(lost.index, lost.task, lost.tries + 1))
                else:
                    where = f', last on node {lost.place}' if lost.place else ''
                    yield Outcome(lost.index, error=f'its process died {TRIES} times{where}')

    def _advance(self, stream: Any, task: _Running, piece: Piece | None) -> Outcome | None:
        """Take the next thing that a task yielded; return its outcome, if that is it, or _LOST."""
        try:
            kind, value = ray.get(next(stream))
        except RayTaskError as error:
            return Outcome(task.index, error=_unlike(error))
        except (RayError, StopIteration) as error:  # the latter: a stream that was cut off
            place = task.place or 'an unknown node'
            _logger.warning('task %d: lost on %s: %s', task.index, place, reason(error)[:200])
            return _LOST
        if kind == worker.PLACE:
            task.place = value
        elif kind == worker.ITEM:
            if task.last and piece is not None:
                piece(task.index, task.tries, task.last[0])
            task.last = (value,)
        elif kind == worker.DONE:
            return Outcome(task.index, *task.last)
        elif kind == worker.REFUSED:
            raise ValueError(value)
        else:
            return Outcome(task.index, error=value)
        return None

    def _room(self, kind: str) -> int:
        """Return how many tasks are handed out: a few wait, so that no node does."""
        self._look(kind)
        if self._slots:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > PATIENCE:
            raise ConnectionError(
                f'expected a node with a {kind} in the Ray cluster, found none for '
                f'{PATIENCE:g} s; what was done is kept'
            )
        room = self._slots + 1 + self._slots // 4
        return room if self._most is None else min(room, self._most)

    def _look(self, kind: str) -> None:
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        self._slots = int(ray.cluster_resources().get(kind, 0))
        self._nodes = sum(node['Alive'] for node in ray.nodes())


_LOST = Outcome(-1)


def _unlike(error: RayTaskError) -> str:
    """Return the reason of an error outside a task's work; ValueError where it is the node's."""
    text = reason(error)
    if 'failed to import' in text or 'No module named' in text:
        last = str(error).strip().splitlines()[-1]
        raise ValueError(
            f'node {error.ip}: expected vla_cache_ros as where the command was started, got '
            f'{" ".join(last.split())}; install it in the environment that runs `ray start` there'
        )
    return text
