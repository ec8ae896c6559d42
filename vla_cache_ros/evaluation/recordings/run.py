# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run gates and dense along one recording: all see the recorded frames, none is executed.

Runs in a process of its own, so what it takes and gives can be pickled. Sums nothing up.
"""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.action_distance import largest_difference
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import BagStep
from vla_cache_ros.bags.walk import Cadence
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.recordings.moments import Moment
from vla_cache_ros.evaluation.recordings.moments import WorstMoments
from vla_cache_ros.evaluation.recordings.steps import gate_step
from vla_cache_ros.evaluation.recordings.steps import GateStep
from vla_cache_ros.evaluation.recordings.steps import POSE
from vla_cache_ros.evaluation.recordings.steps import Step
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

RECORDED, MIDDLE = 'recorded', 'middle'  # where the robot's state comes from


@dataclass(frozen=True)
class BagTask:
    """
    Say what is run on a bag.

    executed: actions of a chunk that are compared. state: MIDDLE feeds the middle of the
    checkpoint's range where a bag has no state. named_images: whether the user named the image
    topics; the usual ones are cut to the cameras of the checkpoint.
    """

    path: Path
    topics: BagTopics
    cadence: Cadence
    executed: int
    state: str = RECORDED
    named_images: bool = False

    def run(self, policies: Mapping[Entry, Any], progress: bool = False) -> 'BagResult':
        """Run the policies; see `run_bag`."""
        return run_bag(self, policies, progress)

    def description(self) -> dict[str, Any]:
        """Return how bags are looked at, as JSON values for the report."""
        return {
            'execute_steps': self.executed,
            'state': self.state,
            'cadence': asdict(self.cadence),
            'topics': asdict(self.topics),
        }

    def identity(self) -> dict[str, Any]:
        """Return as JSON values what a result depends on, the bag's files by size and time."""
        files = [self.path] if self.path.is_file() else sorted(self.path.glob('*'))
        found = {file.name: file.stat() for file in files}
        stamps = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}
        return {**asdict(self), 'path': str(self.path), 'files': stamps}


@dataclass
class BagResult:
    """
    Hold what one bag gave.

    notes: what was in the way of observations, and how often. images: what was done with pictures.
    """

    path: Path
    damage: str = ''
    notes: Mapping[str, int] = field(default_factory=dict)
    steps: Sequence[Step] = ()
    moments: Sequence[Moment] = ()
    chosen_live: bool = False
    images: str = ''


def run_bag(task: BagTask, policies: Mapping[Entry, Any], progress: bool = False) -> BagResult:
    """
    Let every policy act on every observation of a bag; the first policy is the dense one.

    progress: shows a bar of the observations. Raises ValueError where the bag cannot be evaluated.
    """
    dense = next(iter(policies.values()))
    topics = _topics_for(task, dense)
    bag = Bag(task.path)
    _check(bag, topics, task, dense)
    notes: Counter[str] = Counter()
    runner = _Runner(task, policies)
    steps = walk(bag, topics, task.cadence, notes)
    name = task.path.name
    for step in tqdm(steps, name, unit=' observations', leave=False, disable=not progress):
        runner.take(step)
    if not runner.steps:
        reasons = '; '.join(f'{note} ({n} times)' for note, n in notes.most_common(4))
        reasons = reasons or 'its images never came together; see --image-topic'
        raise ValueError(f'no observation could be made: {reasons}')
    return BagResult(
        path=task.path,
        damage=bag.damage,
        notes=dict(notes),
        steps=runner.steps,
        moments=runner.worst.moments,
        chosen_live=bool(runner.steps[0].live_gate),
        images=str(dense.images),
    )


class _Runner:
    """Take the steps of a walk; keep what each policy made of them, and the worst of it."""

    def __init__(self, task: BagTask, policies: Mapping[Entry, Any]):
        self._task, self._policies = task, policies
        self._names = [entry.name for entry in policies]
        self._dense = next(iter(policies.values()))
        bounds = self._dense.statistics
        self._halfway = float(bounds.action.middle[-1])
        # a model whose state is that of joints acts in joints
        self._poses = len(bounds.action) == len(POSE) and not task.topics.arm_joints
        self._middle = None
        if self._dense.proprio_size:
            self._middle = bounds.proprio.middle
        self._episode, self._last, self._begin, self._corrected = -1, 0, 0, False
        self._said: Mapping[str, Any] | None = None  # by the live node, at the step before
        self.steps: list[Step] = []
        self.worst = WorstMoments(str(task.path), self._dense.images.see)

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
        self.steps.append(Step(step.episode, seconds, text, gate, gates))
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
        return gate_step(acted, dense, self._task.executed, self._halfway, live, poses=self._poses)


def _topics_for(task: BagTask, dense: Any) -> BagTopics:
    topics = task.topics
    if not task.named_images and len(topics.images) > dense.num_images:
        return replace(topics, images=topics.images[: dense.num_images])
    if len(topics.images) != dense.num_images:
        raise ValueError(
            f'expected {dense.num_images} --image-topic for this checkpoint, primary camera '
            f'first, got {len(topics.images)} ({", ".join(topics.images)})'
        )
    return topics


def _check(bag: Bag, topics: BagTopics, task: BagTask, dense: Any) -> None:
    if task.executed > dense.chunk:
        raise ValueError(
            f'expected --execute-steps of at most {dense.chunk}, the actions that this checkpoint '
            f'gives at a time, got {task.executed}'
        )
    if dense.proprio_size and (task.state != MIDDLE or topics.states(bag)):
        topics.layout.check(dense.proprio_size)
    topics.check(bag, needs_state=False)
    try:
        topics.check(bag, needs_state=dense.proprio_size > 0 and task.state != MIDDLE)
    except ValueError as error:
        raise ValueError(
            f'{error}; this checkpoint takes a state: --state middle feeds the middle of its '
            'range instead'
        ) from None
