# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one episode far longer than any task and see whether time and memory stay flat.

The policy drives the embedded robot and is never reset; the scene changes under it now and then,
so that there is always something to look at. After each step a dense reference looks at one still
image: what slows it is the machine, not the episode. Knows no gate beyond its name.
"""

from pathlib import Path
import resource
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.evaluation.closed_loop import write_json
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions

WINDOW = 500  # steps compared at either end
_WARMUP = 50  # steps at the start that do not count
_SCENE_STEPS = 25  # steps after which another scene of the same task is laid out


def resident_mib() -> float:
    """Return the memory this process holds now, MiB."""
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    return pages * resource.getpagesize() / 2**20


def ends(values: np.ndarray) -> dict[str, float]:
    """Return the medians of the first (after warm-up) and last 500 values, and their ratio."""
    first, last = np.median(values[_WARMUP:WINDOW]), np.median(values[-WINDOW:])
    return {'first': float(first), 'last': float(last), 'ratio': float(last / first)}


def run_steady(
    checkpoint: str,
    gate: str,
    reuse: float | None,
    steps: int,
    seed: int,
    json_path: Path | None = None,
) -> dict[str, Any]:
    """
    Run the episode; print and write the medians of the first and last 500 steps.

    Compared are the cached keys and values, the process memory (MiB), the total step time (ms),
    that of the reference, and the two divided step by step; the very first steps, which warm up,
    are left out. Raises ValueError for fewer than 1000 steps.
    """
    if steps < 2 * WINDOW:
        raise ValueError(f'steps: expected at least {2 * WINDOW}, got {steps}')
    from vla_cache_ros.environments.tabletop.robot import EXECUTE_STEPS
    from vla_cache_ros.environments.tabletop.robot import Tabletop
    from vla_cache_ros.policy import Policy

    policy = Policy.from_pretrained(checkpoint, gate=gate, reuse=reuse, seed=seed)
    dense = Policy.from_pretrained(checkpoint, gate='dense')
    env = Tabletop(policy.num_images)
    env.reset_state(seed)
    task, still = env.task.name, env.observe()
    times, reference, memory, cache = (np.empty(steps) for _ in range(4))
    for step in tqdm(range(steps), unit='step'):
        if step % _SCENE_STEPS == 0:
            env.reset_state(seed + step // _SCENE_STEPS, task)
        chunk, report = policy.act(env.observe())
        for action in chunk.actions[:EXECUTE_STEPS]:
            env.step(action)
        times[step] = report.latency_ms['total']
        reference[step] = dense.act(still)[1].latency_ms['total']
        memory[step], cache[step] = resident_mib(), policy.cache.memory_bytes() / 2**20
    env.close()
    figures: dict[str, Any] = {
        name: ends(values)
        for name, values in (
            ('step_ms', times),
            ('reference_ms', reference),
            ('step_over_reference', times / reference),
            ('memory_mib', memory),
            ('cache_mib', cache),
        )
    }
    figures |= {
        'steps': steps,
        'gate': gate,
        'reuse': reuse,
        'seed': seed,
        'checkpoint': checkpoint,
        'invalidations': dict(policy.invalidations),
        'hardware': hardware(),
        'versions': versions(),
    }
    if json_path is not None:
        write_json(json_path, figures)
    for name, row in figures.items():
        if isinstance(row, dict) and 'ratio' in row:
            print(f'{name:<20}{row["first"]:>10.3f}{row["last"]:>10.3f}{row["ratio"]:>8.3f}')
    return figures
