# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Slow the model and see what the node gives up: reuse, rate, motion, in this order.

The node is the real one, its pictures are stand-ins, its model sleeps longer than it computes.
"""

from pathlib import Path
from typing import Any

import numpy as np
from overrun_graph import OverrunGraph
from script import run
from slowed_node import FIXED
from vla_cache_ros.live.drill import running
from vla_cache_ros.live.drill import write

STAGES = ('none', 'more reuse', 'slower', 'stopped')
# What an inference shall take at first, in periods of the actions it gives at the full rate: a
# little too much, too much for any reuse, too much for the lowest rate too.
LOADS = {'more reuse': 1.3, 'slower': 1.4, 'stopped': 2.6}
REUSE = 0.5  # that the gate is asked for at first, so that there is more to ask for
PATIENCE = 15.0  # s in a stage after which the model is slowed more
MORE = 1.25  # times
# What else would stop the arm, or drop the cache, when the model is as slow as that.
OTHERS = ('image_timeout', 'state_timeout', 'inference_timeout', 'max_gap')
HOLD = 10.0  # s for which each stage is watched
TIMEOUT = 60.0  # s; of OTHERS
LONGEST = 240.0  # s to get to a stage


def drill_overrun(
    out: Path, checkpoint: str = 'tabletop', gate: str = 'learned'
) -> dict[str, Any]:
    """
    Slow the model in steps: more reuse, a lower rate, a stop, and back; then all at once.

    Returns the figures. Raises ChildProcessError when a process died or a stage was not reached
    in time.

    Args:
        out: folder for figures and logs.
        checkpoint: of two cameras, for the parameters of config/tabletop.yaml.
        gate: as for `vla-cache evaluate`.

    """
    values = {'reuse': REUSE, **dict.fromkeys(OTHERS, TIMEOUT)}
    with running(out, checkpoint, gate, 'slowed_node', values, OverrunGraph) as (_, graph):
        phases = [_phase(graph, 'none', 0.0)]
        if phases[0]['stage_at_the_end'] != 'none':
            raise ChildProcessError(
                'expected a machine that keeps up before the model is slowed, got one that gave '
                f'up: {phases[0]["stage_at_the_end"]}; free it, or take a smaller model'
            )
        period = graph.parameters['execute_steps'] / graph.parameters['control_frequency']
        alone = 1e-3 * phases[0]['inference_ms']
        asks = phases[0]['reuse_asked'] == f'{REUSE:g}'  # dense has nothing to ask for
        stages = list(STAGES[1:] if asks else STAGES[2:])
        for stage in stages:
            share = FIXED + 1 - phases[-1]['reuse']
            delay = max(LOADS[stage] * period - alone, 0.0) / share
            phases.append(_phase(graph, stage, max(delay, phases[-1]['delay_of_a_dense_step_s'])))
        phases.append(_phase(graph, 'none', 0.0))
        order = graph.stages_since(0)
        sudden = _sudden(graph, phases[-2]['delay_of_a_dense_step_s'], stages)
        figures = {
            'gate': gate,
            'period_s': period,
            'phases': phases,
            'order': order,
            'sudden': sudden,
            'fastest': graph.fastest.tolist(),
            'limits': [graph.parameters[f'max_{k}_velocity'] for k in ('linear', 'angular')],
        }
    figures['ok'] = judge(figures, stages)
    print(f'{" -> ".join(order)}: {"as promised" if figures["ok"] else "not as promised"}')
    return write(out / 'overrun.json', figures)


def judge(figures: dict[str, Any], stages: list[str]) -> bool:
    """
    Return whether things were given up in order and came back, and no command broke a limit.

    stages: that are to be seen after `none`. A stage may come and go before the next one.
    """
    before, *phases, stopped, after = figures['phases']
    at = [['none', *stages].index(stage) for stage in figures['order']]
    firsts = list(dict.fromkeys(figures['order']))
    return bool(
        firsts == ['none', *stages]
        and all(abs(step) == 1 for step in np.diff(at))
        and list(figures['sudden']['after_s']) == stages
        and (np.array(figures['fastest']) <= np.array(figures['limits']) * (1 + 1e-6)).all()
        and stopped['moving'] == 0 < min(phase['moving'] for phase in (before, after))
        and all(after[key] == before[key] for key in ('reuse_asked', 'control_frequency'))
    )


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


def _phase(graph: OverrunGraph, stage: str, seconds: float) -> dict[str, Any]:
    """Slow the model, ever more until a stage follows; return how it came and what it is like."""
    seen, before = len(graph.rungs), int(graph.health.get('overruns', 0))
    began = graph.slow(seconds)
    waited = 0.0
    while not graph.wait_for(stage, seen, PATIENCE):
        waited += PATIENCE
        if waited > LONGEST:
            raise ChildProcessError(f'waited {waited:g} s for the stage {stage!r}')
        if seconds:
            seconds *= MORE
            graph.slow(seconds)
    entered = graph.entered(stage, seen) or began
    overruns = int(graph.health['overruns']) - before
    graph.run(HOLD)
    cached = [report['reuse'] for report in graph.reports if not report['refresh']]
    times = [report['act_ms'] for report in graph.reports]
    phase = {
        'stage': stage,
        'delay_of_a_dense_step_s': seconds,
        'after_s': (entered - began) * 1e-9,
        'overruns_before': overruns,
        'stage_at_the_end': graph.health['degradation'],
        'reuse_asked': graph.health['reuse asked'],
        'reuse': float(np.mean(cached)) if cached else 0.0,
        'control_frequency': float(graph.health['control frequency']),
        'action_ms': action_ms([(stamp, twist) for stamp, twist, _ in graph.twists]),
        'inferences': len(times),
        'inference_ms': float(np.median(times)) if times else 0.0,
        'moving': sum(bool(twist.any()) for _, twist, _ in graph.twists),
        'commands': len(graph.twists),
    }
    lasts = f'{phase["action_ms"]:.0f} ms' if phase['action_ms'] else 'nothing'
    print(
        f'{stage}: after {phase["after_s"]:.1f} s and {overruns} overruns; reuse '
        f'{phase["reuse"]:.3f} ({phase["reuse_asked"]} asked), {phase["control_frequency"]:g} Hz, '
        f'an action lasts {lasts}, an inference {phase["inference_ms"]:.0f} ms',
        flush=True,
    )
    return phase


def _sudden(graph: OverrunGraph, seconds: float, stages: list[str]) -> dict[str, Any]:
    """Slow the model all at once; return how soon each stage followed."""
    seen, before = len(graph.rungs), int(graph.health['overruns'])
    began = graph.slow(seconds)
    if not graph.wait_for(stages[-1], seen, LONGEST):
        raise ChildProcessError(f'waited {LONGEST:g} s for the stage {stages[-1]!r}')
    names = [n for n in dict.fromkeys(graph.stages_since(seen)) if n in stages]
    after = {name: (graph.entered(name, seen) - began) * 1e-9 for name in names}
    print(
        'all at once: ' + ', '.join(f'{name} after {s:.1f} s' for name, s in after.items()),
        flush=True,
    )
    overruns = int(graph.health['overruns']) - before
    return {'delay_of_a_dense_step_s': seconds, 'after_s': after, 'overruns': overruns}


if __name__ == '__main__':
    run(drill_overrun)
