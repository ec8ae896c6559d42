# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Try the drift guard in closed loop: false alarms on a sound gate, alarms on one that is broken.

The guard is the node's, with its forced refreshes. Beyond its checks every other inference is
compared too, outside its books, so that the distances are known of all. Knows no network.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from itertools import cycle
from itertools import islice
import time
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.action_distance import drift_distance
from vla_cache_ros.control.drift_guard import DriftGuard
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.environments import Environment
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.evaluation.broken_gates import BROKEN
from vla_cache_ros.evaluation.broken_gates import BrokenGate
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.evaluation.settings import DriftTrial
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.statistics import finite
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.statistics import wilson_interval
from vla_cache_ros.reports.tables import Table
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport

QUANTILES = (0.5, 0.95, 0.99, 0.999, 1.0)
_MOMENTS = 200  # at which a gate is taken to break
_SOUND = 200  # inferences before that, at most; half of them at least


@dataclass(frozen=True)
class Inference:
    """
    Hold one inference.

    ms: what it took. reuse: share from the cache. apart: distance from the dense actions, 0 where
    nothing was reused. shadow_ms: what the dense step took, 0 without. checked, alarm, refresh:
    whether the guard had it checked, began an alarm, had the cache forgotten.
    """

    episode: int
    ms: float
    reuse: float
    apart: float
    shadow_ms: float
    checked: bool = False
    alarm: bool = False
    refresh: bool = False


class Watched:
    """Act as a policy does, with the guard as in the node; keep a record of every inference."""

    def __init__(self, policy: Policy, steps: int, threshold: float, guarded: bool) -> None:
        """guarded: False compares, and changes nothing."""
        self.guard = DriftGuard()
        self.record: list[Inference] = []
        self._policy, self._steps = policy, steps
        self._threshold, self._guarded = threshold, guarded
        self._episode = -1

    def reset(self, cause: str = 'episode_reset') -> None:
        """Start an episode."""
        self._episode += 1
        self.guard.reset()
        self._policy.reset(cause)

    def act(self, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """Act, compare, and forget the cache before the next inference if the guard says so."""
        begin = time.perf_counter()
        chunk, report = self._policy.act(observation)
        ms, apart, shadow_ms = 1e3 * (time.perf_counter() - begin), 0.0, 0.0
        if report.reuse:
            begin = time.perf_counter()
            dense = self._policy.shadow(observation, report.step)
            apart = drift_distance(chunk.normalized, dense.normalized, self._steps)
            shadow_ms = 1e3 * (time.perf_counter() - begin)
        row = Inference(self._episode, ms, report.reuse, apart, shadow_ms)
        if self._guarded:
            row = judge(self.guard, row, self._threshold)
        if row.refresh:
            self._policy.invalidate('drift')
        self.record.append(row)
        return chunk, report


def judge(guard: DriftGuard, row: Inference, threshold: float) -> Inference:
    """Give an inference to the guard; return it with what the guard made of it."""
    checked, alarms = guard.infer(row.ms, row.reuse), guard.alarms
    if not checked:
        return row
    guard.spend(row.shadow_ms)
    refresh = guard.judge(row.apart, threshold)
    return replace(row, checked=True, alarm=guard.alarms > alarms, refresh=refresh)


def waits(
    record: Sequence[Inference], threshold: float, seed: int
) -> list[tuple[int | None, bool]]:
    """
    Return how long an alarm takes, for many moments at which a gate may break.

    record: of the broken gate without a guard. Each time a guard sees a sound gate as long as
    chance will have it, then the record once, from the begin of an episode. Returned are the
    inferences from the first above the threshold to the alarm, both included, None if none came,
    and whether it came in the episode in which the gate broke.
    """
    generator = np.random.default_rng(seed)
    begins = [i for i, row in enumerate(record) if not i or record[i - 1].episode != row.episode]
    found: list[tuple[int | None, bool]] = []
    for _ in range(_MOMENTS):
        guard, begin = DriftGuard(), int(generator.choice(begins))
        for row in islice(cycle(record), int(generator.integers(_SOUND // 2, _SOUND))):
            judge(guard, replace(row, apart=0.0), threshold)
        first, waited, episode = None, None, record[begin].episode
        for index, row in enumerate([*record[begin:], *record[:begin]]):
            if row.episode != episode:
                episode = row.episode
                guard.reset()
            if first is None and row.apart > threshold:
                first = index
            if judge(guard, row, threshold).alarm:
                waited = index - first + 1
                break
        if first is not None:
            found.append((waited, waited is not None and episode == record[begin].episode))
    return found


def share(count: int, total: int, scale: float = 1.0) -> dict[str, Any]:
    """Return a count, its share (or rate per `scale`) and the 95 % Wilson interval of that."""
    interval = wilson_interval(count, total) if total else (0.0, 1.0)
    return {
        'count': count,
        'of': total,
        'rate': scale * count / total if total else None,
        'ci95': [scale * bound for bound in interval],
    }


def run(
    policy: Policy, env: Environment, seeds: Sequence[int], threshold: float, guarded: bool
) -> tuple[list[Inference], DriftGuard, dict[str, Any]]:
    """Run an episode for each seed; return its inferences, the guard and the success rate."""
    watched = Watched(policy, env.execute_steps, threshold, guarded)
    actor, name = env.wrap(watched), 'guarded' if guarded else 'alone'
    done = [run_episode(actor, env, seed).success for seed in tqdm(seeds, desc=name)]
    return watched.record, watched.guard, share(sum(done), len(done))


def distances(record: Sequence[Inference], threshold: float) -> dict[str, Any]:
    """Return the quantiles of the distance over all inferences that reused something."""
    apart = [row.apart for row in record if row.reuse]
    above = [bool(row.reuse) and row.apart > threshold for row in record]
    pairs = sum(
        a and b and record[i].episode == record[i + 1].episode
        for i, (a, b) in enumerate(zip(above, above[1:], strict=False))
    )
    quantiles = np.quantile(apart, QUANTILES) if apart else []
    return {
        'compared': len(apart),
        **{f'q{q:g}': float(v) for q, v in zip(QUANTILES, quantiles, strict=False)},
        'above_threshold': share(sum(above), len(apart)),
        'two_in_a_row_above': share(pairs, len(apart)),
    }


def run_drift(asked: DriftTrial) -> dict[str, Any]:
    """
    Run episodes under the guard, print its figures and write them as JSON.

    With a broken gate the same seeds are run without a guard too. Raises ValueError for bad
    settings.
    """
    broken, seed = asked.broken, asked.seed
    if broken is not None and broken not in BROKEN:
        raise ValueError(f'broken: expected one of {", ".join(BROKEN)}, got {broken!r}')
    limit = asked.threshold
    if limit is None:
        limit = VLAParameters().drift_threshold
    policy = Policy.from_pretrained(
        asked.checkpoint, gate=asked.gate, reuse=asked.reuse, seed=seed
    )
    if broken is not None:
        tokens = policy.cache.present.size // policy.num_images
        policy.gate = BrokenGate(policy.gate, broken, tokens)
    seeds = range(seed, seed + asked.episodes)
    figures: dict[str, Any] = {
        'checkpoint': asked.checkpoint,
        'gate': asked.gate,
        'reuse': asked.reuse,
        'broken': broken,
        'threshold': limit,
        'seeds': [seeds[0], seeds[-1]],
        'env': asked.env,
    }
    with closing(make_environment(asked.env, Setup.of(policy, asked.task))) as world:
        warm_up(policy, world, seed)
        if broken is not None:
            alone, _, success = run(policy, world, seeds, limit, guarded=False)
            found = waits(alone, limit, seed)
            caught = [wait for wait, _ in found if wait is not None]
            figures['alone'] = {'success': success, 'distance': distances(alone, limit)}
            figures['caught'] = share(len(caught), len(found))
            figures['caught_in_first_episode'] = share(sum(soon for _, soon in found), len(found))
            figures['inferences_until_alarm'] = {
                name: finite(value) for name, value in percentiles(caught).items()
            }
        record, guard, success = run(policy, world, seeds, limit, guarded=True)
    figures |= {
        'success': success,
        'inferences': len(record),
        'checks': guard.checks,
        'alarms': share(guard.alarms, len(record), 1000.0),
        'refreshes': sum(row.refresh for row in record),
        'episodes_with_refresh': share(len({r.episode for r in record if r.refresh}), len(seeds)),
        'cost_share': guard.share,
        'distance': distances(record, limit),
        'inference_ms_mean': float(np.mean([row.ms for row in record])),
        **measured_on(),
    }
    if asked.json is not None:
        write_json(asked.json, figures)
    print(table(figures))
    return figures


def warm_up(policy: Policy, env: Environment, seed: int) -> None:
    """Let the policy and its shadow allocate what they need, as the node does at configure."""
    observation = env.reset(seed)
    for _ in range(3):
        _, report = policy.act(observation)
        policy.shadow(observation, report.step)


def table(figures: dict[str, Any]) -> str:
    """Return the main figures as lines of text."""
    lines = [f'gate {figures["gate"]}, broken: {figures["broken"] or "no"}', '']
    parts = {'without guard': figures.get('alone'), 'with guard': figures}
    lines.append(Table.of([_row(name, part) for name, part in parts.items() if part]).text())
    lines.append(f'above: the threshold of {figures["threshold"]:g}; above twice: two in a row')
    alarms, (low, high) = figures['alarms'], figures['alarms']['ci95']
    lines.append(
        f'{figures["checks"]} checks of {figures["inferences"]} inferences cost '
        f'{100 * figures["cost_share"]:.2f} % of their time; {alarms["count"]} alarms, '
        f'{alarms["rate"]:.2f} per 1000 inferences (95 % interval {low:.2f} to {high:.2f}), '
        f'{figures["refreshes"]} refreshes'
    )
    if 'caught' in figures:
        caught, soon = figures['caught'], figures['caught_in_first_episode']
        waited = figures['inferences_until_alarm']
        lines.append(
            f'broken at one of {caught["of"]} moments: caught {caught["count"]} times, '
            f'{soon["count"]} of them in the same episode, after {waited["p50"]} inferences '
            f'(p95 {waited["p95"]})'
        )
    return '\n'.join(lines)


def _row(name: str, part: Mapping[str, Any]) -> dict[str, str]:
    apart, success = part['distance'], part['success']
    return {
        '': name,
        'succeeded': f'{success["count"]} of {success["of"]}',
        **{k: f'{value:.3f}' for k, value in apart.items() if k.startswith('q')},
        'compared': str(apart['compared']),
        'above': str(apart['above_threshold']['count']),
        'above twice': str(apart['two_in_a_row_above']['count']),
    }
