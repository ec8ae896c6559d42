# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the tasks of a job in processes of this machine, or in this process if there is but one."""

from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor
import multiprocessing
from typing import Any

from vla_cache_ros.fleet.jobs import Job
from vla_cache_ros.fleet.jobs import Outcome
from vla_cache_ros.fleet.jobs import reason


class LocalProcesses:
    """Run so many tasks at a time; one in this process, which has loaded torch already."""

    def __init__(self, processes: int):
        self.processes = processes

    @property
    def status(self) -> str:
        """Return nothing: there is but this machine."""
        return ''

    def run(self, job: Job, tasks: Iterable[Any]) -> Iterator[Outcome]:
        """Yield an outcome for each task as it comes; a task yields its result alone."""
        begin = {'initializer': _begin, 'initargs': (job,)}
        if self.processes == 1:
            executor = ThreadPoolExecutor(1, **begin)
        else:  # a forked torch may deadlock
            spawn = multiprocessing.get_context('spawn')
            executor = ProcessPoolExecutor(self.processes, spawn, **begin)
        with executor as pool:
            futures = {pool.submit(_work, task): index for index, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    error, index = future.exception(), futures[future]
                    if error is None:
                        yield Outcome(index, future.result())
                    else:
                        yield Outcome(index, error=reason(error))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


_worker: dict[str, Any] = {}  # what all tasks of a process share


def _begin(job: Job) -> None:
    _worker.clear()
    _worker['job'] = job


def _work(task: Any) -> Any:
    job: Job = _worker['job']
    if 'shared' not in _worker:  # here, so that an error belongs to a task and is told
        _worker['shared'] = job.begin(job.spec)
    (result,) = job.work(_worker['shared'], task)
    return result
