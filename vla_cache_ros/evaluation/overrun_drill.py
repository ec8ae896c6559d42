# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Slow the model step by step and see what the node gives up: reuse, rate, motion, in this order.

The node is the real one, its pictures are stand-ins, its model sleeps longer than it computes.
"""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from vla_cache_ros.evaluation.drill import running
from vla_cache_ros.evaluation.drill import write

STAGES = ('none', 'more reuse', 'slower', 'stopped')
# What an inference shall take, in periods of the actions it gives at the full rate: a little too
# much, too much for any reuse, too much for the lowest rate too.
LOADS = {'more reuse': 1.2, 'slower': 1.5, 'stopped': 3.0}
HOLD = 10.0  # s for which each stage is watched
TIMEOUT = 180.0  # s to get to a stage
EASE = 1e-6  # of a limit, for rounding


def drill_overrun(
    out: Path, checkpoint: str, gate: str, hold: float = HOLD, execute_steps: int = 4
) -> dict[str, Any]:
    """
    Slow the model in steps until the arm is stopped, then no more; return the figures.

    hold: s for which each stage is watched. Raises ChildProcessError when a process died or a
    stage was not reached in time.
    """
    from vla_cache_ros.ros.overrun_graph import OverrunGraph
    from vla_cache_ros.ros.slowed_node import FIXED

    node = ('vla_cache_ros.ros.slowed_node', '-p', f'execute_steps:={execute_steps}')
    with running(out, checkpoint, gate, node, OverrunGraph) as (_, graph):
        graph.wait_for('none', TIMEOUT)
        phases = [_phase(graph, 'none', 0.0, hold)]
        period = execute_steps / graph.parameters['control_frequency']
        alone = 1e-3 * phases[0]['inference_ms']
        stages = STAGES[1:] if graph.health['reuse asked'] != "the gate's own" else STAGES[2:]
        for stage in stages:
            share = FIXED + 1 - phases[-1]['reuse']
            phases.append(
                _phase(graph, stage, max(0.0, LOADS[stage] * period - alone) / share, hold)
            )
        phases.append(_phase(graph, 'none', 0.0, hold))
        limits = np.array(
            [graph.parameters[f'max_{kind}_velocity'] for kind in ('linear', 'angular')]
        )
        order = [stage for stage, _ in groupby(stage for _, stage in graph.stages)]
        figures = {
            'gate': gate,
            'period_s': period,
            'phases': phases,
            'order': order,
            'fastest': graph.fastest.tolist(),
            'limits': limits.tolist(),
        }
    expected = ['none', *stages]
    figures['ok'] = bool(
        order == expected + expected[-2::-1]
        and (figures['fastest'] <= limits * (1 + EASE)).all()
        and not next(phase for phase in phases if phase['stage'] == 'stopped')['moving']
        and phases[-1]['reuse_asked'] == phases[0]['reuse_asked']
        and phases[-1]['control_frequency'] == phases[0]['control_frequency']
    )
    print(f'{" -> ".join(order)}: {"as promised" if figures["ok"] else "not as promised"}')
    return write(out / 'overrun.json', figures)


def action_ms(twists: list[tuple[int, np.ndarray]]) -> float | None:
    """Return for how long an action lasts, p50, from commands (ns, [6]); None without motion."""
    begins = [
        (stamp, twist)
        for index, (stamp, twist) in enumerate(twists)
        if index == 0 or not np.array_equal(twist, twists[index - 1][1])
    ]
    spans = [
        (end - begin) * 1e-6
        for (begin, twist), (end, _) in zip(begins[1:], begins[2:], strict=False)
        if twist.any()
    ]
    return float(np.median(spans)) if spans else None


def _phase(graph: Any, stage: str, seconds: float, hold: float) -> dict[str, Any]:  # noqa: ANN401
    """Slow the model so that a stage follows, and return how that came and what it is like."""
    overruns = int(graph.health['overruns'])
    began = graph.slow(seconds)
    graph.wait_for(stage, TIMEOUT)
    entered = next(stamp for stamp, name in reversed(graph.stages) if name == stage)
    after, late = max(0.0, (entered - began) * 1e-9), int(graph.health['overruns']) - overruns
    graph.run(hold)
    cached = [report['reuse'] for report in graph.reports if not report['refresh']]
    phase = {
        'stage': stage,
        'delay_of_a_dense_step_s': seconds,
        'entered_after_s': after,
        'overruns_before': late,
        'stage_at_the_end': graph.health['degradation'],
        'reuse_asked': graph.health['reuse asked'],
        'reuse': float(np.mean(cached)) if cached else 0.0,
        'control_frequency': float(graph.health['control frequency']),
        'action_ms': action_ms(graph.twists),
        'inferences': len(graph.reports),
        'inference_ms': _median([report['act_ms'] for report in graph.reports]),
        'moving': sum(bool(twist.any()) for _, twist in graph.twists),
        'commands': len(graph.twists),
    }
    print(
        f'{stage}: after {after:.1f} s and {late} overruns; reuse {phase["reuse"]:.3f} '
        f'({phase["reuse_asked"]} asked), {phase["control_frequency"]:g} Hz, '
        f'an inference {phase["inference_ms"]:.0f} ms, {phase["moving"]} of '
        f'{phase["commands"]} commands with motion',
        flush=True,
    )
    return phase


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float('nan')
