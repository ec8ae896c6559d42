# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what is done with each of many tasks, and what came of one. Knows neither Ray nor models.

Whoever runs a job is given functions of modules, never code that travels.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """
    Say how tasks are worked on.

    spec: what a process has to know. begin(spec): returns what all tasks of a process share, such
    as a loaded model. work(shared, task): yields what comes of a task, its result last.
    same(spec): what must be equal wherever a task runs, by name. gpu: a task needs one.
    """

    spec: Any
    begin: Callable[[Any], Any]
    work: Callable[[Any, Any], Iterator[Any]]
    same: Callable[[Any], Mapping[str, str]]
    gpu: bool = False


@dataclass(frozen=True)
class Outcome:
    """Hold what came of a task, by its index; error: '' unless there is no result."""

    index: int
    result: Any = None
    error: str = ''


class Runner(Protocol):
    """Run the tasks of a job; processes: how many at a time."""

    processes: int

    def run(self, job: Job, tasks: Iterable[Any]) -> Iterator[Outcome]:
        """Yield an outcome for each task as it comes, in any order."""
        ...

    @property
    def status(self) -> str:
        """Return what a line of progress says beside the count."""
        ...


def reason(error: BaseException) -> str:
    """Return an error in one line."""
    return ' '.join(str(error).split()) or type(error).__name__
