# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Gather what recordings gave, in whatever order it comes, and say where it was measured.

Of the moments only the worst are held, since their pictures are large. Runs nothing.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vla_cache_ros.evaluation.recordings.moments import COUNT
from vla_cache_ros.evaluation.recordings.moments import Moment
from vla_cache_ros.evaluation.recordings.run import BagResult


class Gathered:
    """
    Gather what tasks gave, by their index.

    machines: `hardware` and `versions` that times were measured on, and the number of `bags`.
    """

    def __init__(self) -> None:
        self._found: dict[int, BagResult] = {}
        self._failed: dict[int, str] = {}
        self._moments: list[tuple[float, int, Moment]] = []
        self.machines: list[dict[str, Any]] = []

    def add(self, index: int, result: BagResult, machine: Mapping[str, Any]) -> None:
        """Take the result of a task and where it was measured."""
        worst = [(-moment.found.normalized, index, moment) for moment in result.moments]
        self._moments = sorted([*self._moments, *worst], key=lambda item: item[:2])[:COUNT]
        self._found[index] = replace(result, moments=())
        for known in self.machines:
            if all(known[name] == value for name, value in machine.items()):
                known['bags'] += 1
                return
        self.machines.append({**machine, 'bags': 1})

    def fail(self, index: int, reason: str) -> None:
        """Take the reason for which a task has no result."""
        self._failed[index] = reason

    def results(self) -> list[BagResult]:
        """Return the results in the order of the tasks."""
        return [self._found[index] for index in sorted(self._found)]

    def failed(self, paths: Sequence[str]) -> dict[str, str]:
        """Return why the others failed, by the paths of the tasks."""
        reasons = ((paths[index], self._failed[index]) for index in sorted(self._failed))
        return {path: why.removeprefix(f'{path}: ') for path, why in reasons}

    def moments(self) -> list[Moment]:
        """Return the worst moments of all, worst first."""
        return [moment for _, _, moment in self._moments]

    def measured(self) -> dict[str, Any]:
        """Return `hardware` and `versions` of most bags, and all `machines` if there are more."""
        most = max(self.machines, key=lambda machine: machine['bags'])
        measured = {name: most[name] for name in ('hardware', 'versions')}
        return measured | ({'machines': self.machines} if len(self.machines) > 1 else {})
