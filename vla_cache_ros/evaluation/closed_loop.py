# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a policy in a simulated environment, episode by episode, in one process and without ROS.

The loop is the one that runs over ROS: observe, infer, execute the first actions of the chunk,
observe again, until success or the task's step limit. Episode i takes seed + i whatever the
policy, so results of different gates are paired by seed. Knows no model, gate or simulator.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.environments import Actor
from vla_cache_ros.environments import Environment
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.evaluation.settings import ClosedLoop
from vla_cache_ros.evaluation.solved_time import seconds_per_solved
from vla_cache_ros.evaluation.solved_time import solved_text
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.statistics import finite
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.statistics import wilson_interval
from vla_cache_ros.reports.tables import Table
from vla_cache_ros.types import StepReport

STAGES = ('total', 'preprocess', 'gate', 'vision', 'decoder', 'decode')
WARMUP_INFERENCES = 3  # first calls allocate buffers and fill caches of the libraries


@dataclass(frozen=True)
class Episode:
    """
    Hold what one episode came to.

    steps: control periods executed. reuse: per inference, full refreshes included. latency_ms:
    per inference, the stages of `StepReport`. refreshes: per inference, '' where none was needed.
    seconds: from the instruction to success or the limit, motion and inference. age_counts: visual
    tokens of age 0, 1, 2 ... over all inferences. action_error: per inference, `action_distance`
    from the shadow; () without one. passes: per inference, passes of the decoder after the first;
    0 where actions are no tokens.
    """

    seed: int
    task: str
    success: bool
    steps: int
    reuse: tuple[float, ...]
    latency_ms: tuple[Mapping[str, float], ...]
    refreshes: tuple[str, ...]
    seconds: float
    age_counts: tuple[int, ...] = ()
    action_error: tuple[float, ...] = ()
    passes: tuple[int, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the episode as one plain JSON record."""
        return {
            'seed': self.seed,
            'task': self.task,
            'success': self.success,
            'steps': self.steps,
            'inferences': len(self.reuse),
            'reuse_mean': float(np.mean(self.reuse)) if self.reuse else None,
            'seconds': self.seconds,
        }


def run_episode(
    policy: Actor, env: Environment, seed: int, shadow: Actor | None = None
) -> Episode:
    """
    Run one episode until success or `env.max_steps` control periods.

    `env.execute_steps` actions of a chunk are executed before the next observation. shadow: acts
    on every observation too, after the policy; its actions are compared and not executed.
    """
    observation = env.reset(seed)
    policy.reset()
    if shadow is not None:
        shadow.reset()
    steps, success, execute_steps = 0, False, env.execute_steps
    reports: list[StepReport] = []
    errors: list[float] = []
    while not success and steps < env.max_steps:
        if steps:
            observation = env.observe()
        chunk, report = policy.act(observation)
        reports.append(report)
        if shadow is not None:
            dense, _ = shadow.act(observation)
            errors.append(
                float(action_distance(chunk.normalized, dense.normalized, execute_steps))
            )
        for action in chunk.actions[: min(execute_steps, env.max_steps - steps)]:
            env.step(action)
            steps += 1
            success = bool(env.success())
            if success:
                break
    latency_ms = tuple(dict(report.latency_ms) for report in reports)
    return Episode(
        seed=seed,
        task=env.task.name,
        success=success,
        steps=steps,
        reuse=tuple(float(report.reuse) for report in reports),
        latency_ms=latency_ms,
        refreshes=tuple(report.refresh for report in reports),
        # the arm waits for every inference
        seconds=steps / env.control_frequency + sum(lap['total'] for lap in latency_ms) / 1e3,
        age_counts=_count([report.ages for report in reports]),
        action_error=tuple(errors),
        passes=tuple(report.passes for report in reports),
    )


def evaluate(
    policy: Actor, env: Environment, seeds: Iterable[int], progress: bool = True
) -> list[Episode]:
    """Run one episode per seed, with a progress bar on stderr that shows the success so far."""
    episodes: list[Episode] = []
    with tqdm(list(seeds), unit='episode', disable=not progress) as bar:
        for seed in bar:
            episodes.append(run_episode(policy, env, seed))
            done = sum(episode.success for episode in episodes)
            bar.set_postfix_str(f'{done}/{len(episodes)} succeeded')
    return episodes


def summarize(
    episodes: Sequence[Episode], gate: str, warmup: int = WARMUP_INFERENCES, **extra: Any
) -> dict[str, Any]:
    """
    Return the figures of a run as plain JSON values.

    gate: name of the gate. warmup: inferences at the very start whose latency does not count
    (their reuse and success do). extra: further fields, such as the checkpoint.

    Raises ValueError: no episode.
    """
    if not episodes:
        raise ValueError('episodes: expected at least 1, got 0')
    successes = sum(episode.success for episode in episodes)
    reuse = [value for episode in episodes for value in episode.reuse]
    passes = [value for episode in episodes for value in episode.passes]
    latencies = [values for episode in episodes for values in episode.latency_ms]
    inference = sum(values['total'] for values in latencies) / 1e3
    skipped = min(warmup, max(0, len(latencies) - 1))  # a single inference still has a figure
    refreshes = Counter(name for episode in episodes for name in episode.refreshes if name)
    low, high = wilson_interval(successes, len(episodes))
    return {
        'episodes': len(episodes),
        'successes': successes,
        'success_rate': successes / len(episodes),
        'success_ci95': [low, high],
        **seconds_per_solved([(e.seconds, e.success) for e in episodes], inference),
        'gate': gate,
        'reuse_mean': float(np.mean(reuse)) if reuse else None,
        'inferences': len(reuse),
        'passes_mean': float(np.mean(passes)) if passes else None,
        'tasks': _per_task(episodes),
        'latency_ms': {
            stage: {
                name: finite(value)
                for name, value in percentiles(
                    [laps[stage] for laps in latencies[skipped:] if stage in laps]
                ).items()
            }
            for stage in STAGES
        },
        'latency_warmup_skipped': skipped,
        'refreshes': dict(sorted(refreshes.items())),
        'seeds': [episodes[0].seed, episodes[-1].seed],
        **measured_on(),
        **extra,
        'per_episode': [episode.record() for episode in episodes],
    }


def run_evaluate(asked: ClosedLoop, progress: bool = True) -> dict[str, Any]:
    """
    Evaluate a checkpoint in an environment, print the figures and write them as JSON.

    Raises ValueError for bad settings before anything is loaded, OSError where the file can't be
    written.
    """
    if asked.json is not None and not asked.json.resolve().parent.is_dir():
        raise ValueError(f'json: expected a file in an existing folder, got {asked.json}')
    from vla_cache_ros.policy import Policy  # reading figures needs no torch

    policy = Policy.from_pretrained(
        asked.checkpoint,
        gate=asked.gate,
        device=asked.device,
        dtype=asked.dtype,
        reuse=asked.reuse,
        seed=asked.seed,
    )
    with closing(make_environment(asked.env, Setup.of(policy, asked.task))) as world:
        seeds = range(asked.seed, asked.seed + asked.episodes)
        done = evaluate(world.wrap(policy), world, seeds, progress)
        facts = dict(world.facts())
    figures = summarize(
        done,
        asked.gate,
        reuse=asked.reuse,
        seed=asked.seed,
        checkpoint=asked.checkpoint,
        device=asked.device,
        dtype=asked.dtype,
        env=asked.env,
        facts=facts,
        execute_steps=world.execute_steps,
        control_frequency=world.control_frequency,
    )
    if asked.json is not None:
        write_json(asked.json, figures)
    print(table(figures))
    return figures


def table(figures: Mapping[str, Any]) -> str:
    """Return the main figures as text."""
    low, high = (100 * bound for bound in figures['success_ci95'])
    lines = [
        f'gate {figures["gate"]}: {figures["successes"]} of {figures["episodes"]} succeeded '
        f'({100 * figures["success_rate"]:.1f} %, 95 % interval {low:.1f} to {high:.1f} %)',
    ]
    if figures['seconds_per_solved'] is not None:
        text = solved_text(figures['seconds_per_solved'], figures['seconds_per_solved_ci95'], 2)
        lines.append(
            f'{text} s per solved task, motion and inference, failures included; '
            f'inference {figures["inference_per_solved"]:.2f} s of it'
        )
    lines.append(
        f'reuse {100 * figures["reuse_mean"]:.1f} % of visual tokens, mean over '
        f'{figures["inferences"]} inferences, full refreshes included'
    )
    if figures['passes_mean']:
        lines.append(f'{figures["passes_mean"]:.2f} passes after the prefill, for action tokens')
    stages = [
        (stage, *('-' if value is None else f'{value:.2f}' for value in values.values()))
        for stage, values in figures['latency_ms'].items()
    ]
    tasks = [
        (name, f'{counts["successes"]} of {counts["episodes"]}')
        for name, counts in figures['tasks'].items()
    ]
    lines += ['', Table(('ms', 'p50', 'p95'), stages).text()]
    lines += ['', Table(('task', 'succeeded'), tasks).text()]
    if 'env' in figures:
        facts = (f'{name} {value}' for name, value in figures['facts'].items())
        lines += ['', ', '.join([figures['env'], *facts])]
    return '\n'.join(lines)


def _per_task(episodes: Sequence[Episode]) -> dict[str, dict[str, int]]:
    run = Counter(episode.task for episode in episodes)
    solved = Counter(episode.task for episode in episodes if episode.success)
    return {task: {'episodes': run[task], 'successes': solved[task]} for task in sorted(run)}


def _count(ages: Sequence[np.ndarray]) -> tuple[int, ...]:
    return tuple(np.bincount(np.concatenate(ages)).tolist()) if ages else ()
