# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Watch one episode closely: what the gate chose, what dense would have done, where the arm was.

The loop is `closed_loop.run_episode`, with policy and robot wrapped. The dense policy is asked
about the same observations and never executed. Draws nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from typing import Protocol

import numpy as np
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.action_distance import step_displacement
from vla_cache_ros.caching.gates import Gate
from vla_cache_ros.caching.plans import produced
from vla_cache_ros.environments.tabletop.phase import clearance
from vla_cache_ros.environments.tabletop.phase import height
from vla_cache_ros.environments.tabletop.phase import phase
from vla_cache_ros.evaluation.closed_loop import Actor
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepPlan
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.images import ImagePreprocessor


class GatedActor(Actor, Protocol):
    """Act on observations with a gate whose plans can be watched."""

    gate: Gate
    images: ImagePreprocessor


@dataclass(frozen=True)
class Inference:
    """
    Hold what one inference saw, chose and gave.

    step: control periods executed before it. time: simulated s. ratio: share that the gate chose
    to reuse, None where everything was recomputed or the gate does not choose. active: bool [V],
    tokens recomputed at every layer. scores: float32 [V] as the gate saw them, None where it kept
    none or everything was recomputed. difference: `action_distance` from dense. translation:
    `step_displacement` from it, mm. dense_ms: what dense took. phase: 'contact' or 'quiet'.
    height, clearance: of the gripper above the table and from the nearest object, m.
    """

    step: int
    time: float
    report: StepReport
    ratio: float | None
    active: np.ndarray
    scores: np.ndarray | None
    difference: float
    translation: float
    dense_ms: float
    phase: str
    height: float
    clearance: float

    @property
    def by_score(self) -> np.ndarray | None:
        """
        Return bool [V], the recomputed tokens that score higher than every reused one.

        The other recomputed tokens owe it to their age, to chance or to another rule of the gate.
        None without scores.
        """
        if self.scores is None:
            return None
        return self.active & (self.scores > self.scores[~self.active].max(initial=-np.inf))


@dataclass(frozen=True)
class Trace:
    """
    Hold one watched episode.

    duration: simulated s. pictures: per control step from 0, the images of every camera as the
    policy sees them, uint8 [224, 224, 3]; empty unless filmed.
    """

    episode: Episode
    instruction: str
    duration: float
    inferences: tuple[Inference, ...]
    pictures: tuple[tuple[np.ndarray, ...], ...] = ()


def record_episode(
    policy: GatedActor, dense: Actor, env: Any, seed: int, film: bool = True
) -> Trace:
    """
    Run one episode of `policy` in `env` (a Tabletop) and ask `dense` at every inference.

    film: keep the images of every control step.
    """
    stage = _Stage(env, film)
    with _watched(policy.gate) as plans:
        witness = _Witness(policy, dense, stage, plans)
        episode = run_episode(witness, stage, seed)
    return Trace(
        episode,
        env.task.instruction,
        env.time,
        tuple(witness.inferences),
        tuple(tuple(policy.images.see(pictures)) for pictures in stage.pictures),
    )


class _Stage:
    """Count the control steps of an environment and keep its images where they are wanted."""

    def __init__(self, env: Any, film: bool) -> None:
        self._env, self._film = env, film
        self._seen: Observation | None = None
        self.steps = 0
        self.pictures: list[tuple[np.ndarray, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, seed: int) -> Observation:
        return self._keep(self._env.reset(seed))

    def step(self, action: np.ndarray) -> None:
        self._env.step(action)
        self.steps += 1
        self._seen = self._keep(self._env.observe()) if self._film else None

    def observe(self) -> Observation:
        return self._seen or self._env.observe()

    def _keep(self, observation: Observation) -> Observation:
        if self._film:
            self.pictures.append(observation.images)
        return observation


class _Witness:
    """Act as a policy does, and note beside it what dense says and where the arm is."""

    def __init__(
        self,
        policy: GatedActor,
        dense: Actor,
        stage: _Stage,
        plans: list[StepPlan],
    ) -> None:
        self._policy, self._dense, self._stage = policy, dense, stage
        self._plans = plans
        self.inferences: list[Inference] = []

    def reset(self, cause: str = 'episode_reset') -> None:
        self._policy.reset(cause)
        self._dense.reset(cause)

    def act(self, observation: Observation) -> tuple[ActionChunk, StepReport]:
        chunk, report = self._policy.act(observation)
        wanted, dense_report = self._dense.act(observation)
        plan, env = self._plans[-1], self._stage
        n = env.execute_steps
        self.inferences.append(
            Inference(
                step=env.steps,
                time=float(env.time),
                report=report,
                ratio=None if report.refresh else getattr(self._policy.gate, 'ratio', None),
                # the engine recomputes everything on a refresh, whatever the gate had planned
                active=report.active if report.refresh else produced(plan),
                scores=None if report.refresh else plan.scores,
                difference=float(action_distance(chunk.normalized, wanted.normalized, n)),
                translation=float(step_displacement(chunk.actions, wanted.actions, n)),
                dense_ms=float(dense_report.latency_ms['total']),
                phase=phase(env),
                height=height(env),
                clearance=clearance(env),
            )
        )
        return chunk, report


@contextmanager
def _watched(gate: Gate) -> Iterator[list[StepPlan]]:
    """Collect a gate's plans while it stays the object that it is, with all it offers."""
    plans: list[StepPlan] = []
    inner = gate.plan

    def plan(*arguments: Any, **keywords: Any) -> StepPlan:
        plans.append(inner(*arguments, **keywords))
        return plans[-1]

    gate.plan = plan
    try:
        yield plans
    finally:
        del gate.plan  # what it hid is the method of the class
