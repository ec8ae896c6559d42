# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run gates and dense along one recording: all see the recorded frames, none is executed.

Runs in a process of its own, so what it takes and gives can be pickled. Sums nothing up.
"""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.action_distance import largest_difference
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.recordings.moments import Moment
from vla_cache_ros.evaluation.recordings.moments import WorstMoments
from vla_cache_ros.evaluation.recordings.steps import ActionNumbers
from vla_cache_ros.evaluation.recordings.steps import gate_step
from vla_cache_ros.evaluation.recordings.steps import GateStep
from vla_cache_ros.evaluation.recordings.steps import recorded_step
from vla_cache_ros.evaluation.recordings.steps import Step
from vla_cache_ros.evaluation.recordings.tasks import MIDDLE
from vla_cache_ros.evaluation.recordings.tasks import Task
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport


@dataclass
class BagResult:
    """
    Hold what one bag gave.

    path, name: of its task. notes: what was in the way of observations, and how often. images:
    what was done with pictures. compression: what that did to them before.
    """

    path: Path
    name: str = ''
    damage: str = ''
    notes: Mapping[str, int] = field(default_factory=dict)
    steps: Sequence[Step] = ()
    moments: Sequence[Moment] = ()
    chosen_live: bool = False
    images: str = ''
    compression: str = ''


def run_bag(task: Task, policies: Mapping[Entry, Any], progress: bool = False) -> BagResult:
    """
    Let every policy act on every observation of a bag, or of episodes of a data set.

    The first policy is the dense one. progress: shows a bar of the observations. Raises ValueError
    where it cannot be evaluated.
    """
    dense = next(iter(policies.values()))
    opened = task.open(dense)
    notes: Counter[str] = Counter()
    runner = _Runner(task, policies, opened.numbers)
    steps, name = opened.steps(notes), task.path.name
    for step in tqdm(steps, name, unit=' observations', leave=False, disable=not progress):
        runner.take(step)
    if not runner.steps:
        reasons = '; '.join(f'{note} ({n} times)' for note, n in notes.most_common(4))
        reasons = '; '.join(filter(None, (opened.damage(), reasons)))
        reasons = reasons or 'its images never came together; see --image-topic'
        raise ValueError(f'no observation could be made: {reasons}')
    return BagResult(
        path=task.path,
        name=task.name,
        damage=opened.damage(),
        notes=dict(notes),
        steps=runner.steps,
        moments=runner.worst.moments,
        chosen_live=bool(runner.steps[0].live_gate),
        images=str(dense.images),
        compression=opened.compression,
    )


class _Runner:
    """Take the steps of a walk; keep what each policy made of them, and the worst of it."""

    def __init__(self, task: Task, policies: Mapping[Entry, Any], numbers: ActionNumbers):
        self._task, self._policies = task, policies
        self._names = [entry.name for entry in policies]
        self._dense = next(iter(policies.values()))
        bounds = self._dense.statistics
        self._numbers = numbers
        self._halfway = bounds.action.middle[list(numbers.grippers)]
        self._middle = None
        if self._dense.proprio_size:
            self._middle = bounds.proprio.middle
        self._episode, self._last, self._begin, self._corrected = -1, 0, 0, False
        self._said: Mapping[str, Any] | None = None  # by the live node, at the step before
        self.steps: list[Step] = []
        self.worst = WorstMoments(task.name, self._dense.images.see)

    def take(self, step: BagStep) -> None:
        """Have all policies act on a step."""
        observation = step.observation
        if observation.proprio is None and self._task.state == MIDDLE:
            step = replace(step, observation=replace(observation, proprio=self._middle))
        if not self.steps:
            self._begin = step.time
            for policy in self._policies.values():  # what a first call allocates counts for none
                policy.act(step.observation)
        self._follow(step)
        left = self._left(step)
        acted = self._act(step, left)
        chunk, _ = acted[self._names[0]]
        gates = {
            entry.name: self._gate_step(entry, acted[entry.name], chunk, step, bool(left))
            for entry in self._policies
        }
        seconds = (step.time - self._begin) * 1e-9
        gate = step.report['gate'] if step.report else ''
        text = step.observation.instruction
        self.steps.append(Step(step.episode, seconds, text, gate, gates, step.source))
        self.worst.offer(step, seconds, acted, gates, self._task.executed)

    def _follow(self, step: BagStep) -> None:
        """Begin an episode, or forget what is cached after a gap, as the live node does."""
        gap = self._task.cadence.max_gap * 1e9
        for policy in self._policies.values():
            if step.episode != self._episode:
                policy.reset()
            elif step.stamp - self._last > gap:
                policy.invalidate('gap_too_long')
            elif self._corrected and not step.correction:
                policy.invalidate('handed_back')
        self._episode, self._last, self._corrected = step.episode, step.stamp, step.correction

    def _left(self, step: BagStep) -> tuple[Any, ...]:
        """Return what the live node's inference was told of the chunk before; () if nothing."""
        before, now = self._said, step.report or {}
        self._said, rest, delay = step.report, now.get('rest'), now.get('delay')
        if not (before and type(rest) is int and type(delay) is int and min(rest, delay + 1) > 0):
            return ()
        actions = np.array(before['actions'], np.float64)
        fits = actions.ndim == 2 and actions.shape[1] == len(self._dense.statistics.action)
        fits = fits and np.isfinite(actions).all()
        follows = (before['episode'], before['step'] + 1) == (now['episode'], now['step'])
        return (actions[-rest:], delay) if fits and follows and rest <= len(actions) else ()

    def _act(
        self, step: BagStep, left: tuple[Any, ...]
    ) -> dict[str, tuple[ActionChunk, StepReport]]:
        policies = list(self._policies.values())
        acted: dict[int, tuple[ActionChunk, StepReport]] = {}
        for index in turn_order(len(policies), len(self.steps)):  # the machine's moods fall on all
            acted[index] = policies[index].act(step.observation, *left)
        return {name: acted[index] for index, name in enumerate(self._names)}

    def _gate_step(
        self,
        entry: Entry,
        acted: tuple[ActionChunk, StepReport],
        dense: ActionChunk,
        step: BagStep,
        told: bool,
    ) -> GateStep:
        chunk, live = acted[0], None
        said, instruction = step.report, step.observation.instruction
        alike = said and (told or 'rest' not in said)
        if alike and (said['gate'], said['instruction']) == (entry.gate, instruction):
            actions = np.asarray(said['actions'], np.float64)
            if actions.shape == chunk.actions.shape:
                live = largest_difference(actions, chunk.actions)
        executed, numbers = self._task.executed, self._numbers
        found = gate_step(acted, dense, executed, self._halfway, live, numbers)
        if step.actions is None or not np.isfinite(step.actions).all():
            return found
        normalized = self._dense.statistics.to_normalized(step.actions, step.observation.proprio)
        return replace(found, recorded=recorded_step(chunk, step.actions, normalized, numbers))
