# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Sum up what gates did along recordings as plain JSON figures and as a table.

The first gate of a step is dense, which all others are compared with. Runs nothing.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.recordings.run import BagResult
from vla_cache_ros.evaluation.recordings.steps import GateStep
from vla_cache_ros.evaluation.recordings.steps import Step
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.tables import Table

PARITY = 1e-5  # largest difference that the same frames, weights and arithmetic may leave


def gate_figures(name: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the figures of one gate over steps of one or several bags."""
    found = [step.gates[name] for step in steps]
    actions = sum(len(d.absolute) for d in found)
    cached = [item.reuse for item in found if not item.refresh]
    return {
        'name': name,
        **_apart(found[0].dimensions, found),
        'gripper_flips': _flips(found, actions),
        'reuse_mean': float(np.mean([item.reuse for item in found])),
        'reuse_mean_cached': float(np.mean(cached)) if cached else None,
        'age_mean': float(np.mean([item.age_mean for item in found])),
        'age_max': max(item.age_max for item in found),
        'refreshes': dict(sorted(Counter(i.refresh for i in found if i.refresh).items())),
        'latency_ms': percentiles([item.milliseconds for item in found]),
        'live': _live(found),
        'recorded': recorded_figures(found),
    }


def distance(gate: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return by which of a gate's figures the distance to dense is told, its unit and digits."""
    if gate['displacement_mm'] is None:
        return 'action_error_normalized', 'normalised', 3
    return 'displacement_mm', 'mm', 2


def bag_figures(results: Sequence[BagResult], names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of all bags together, of every bag, and of every episode."""
    steps = [step for result in results for step in result.steps]
    gates = [gate_figures(name, steps) for name in names]
    dense = gates[0]['latency_ms']
    for gate in gates:
        gate['latency_ratio'] = {q: gate['latency_ms'][q] / dense[q] for q in dense}
    return {
        'observations': len(steps),
        'episodes': sum(len({step.episode for step in result.steps}) for result in results),
        'gates': gates,
        'bags': [_bag(result, names) for result in results],
    }


def table(figures: Mapping[str, Any]) -> Table:
    """Return the main figures, one row a gate."""
    return Table.of([_row(gate) for gate in figures['gates']])


def live_lines(figures: Mapping[str, Any]) -> list[str]:
    """Return how the offline actions compare with those of the live node, in sentences."""
    lines = []
    for gate in figures['gates']:
        live = gate['live']
        if live is None:
            continue
        count, same = live['observations'], live['same']
        verdict = 'the same actions' if same == count else f'the same actions at {same} of them'
        lines.append(
            f'{gate["name"]} ran live at {count} observations: {verdict} here, within {PARITY:g} '
            f'(largest difference {live["max"]:.1g})'
        )
    return lines


def _row(gate: Mapping[str, Any]) -> dict[str, str]:
    latency, ratio, cached = (
        gate[name] for name in ('latency_ms', 'latency_ratio', 'reuse_mean_cached')
    )
    field, unit, digits = distance(gate)
    degrees, flips, recorded = (
        gate[name] for name in ('displacement_degrees', 'gripper_flips', 'recorded')
    )
    row = {
        'gate': gate['name'],
        f'{unit} off, mean': f'{gate[field]["mean"]:.{digits}f}',
        'p95': f'{gate[field]["p95"]:.{digits}f}',
        **({'degrees': f'{degrees["mean"]:.2f}'} if degrees else {}),
        **({'gripper flips': f'{flips:.1%}'} if flips is not None else {}),
        **({f'{unit} to recorded': f'{recorded[field]["mean"]:.{digits}f}'} if recorded else {}),
        'reuse': f'{gate["reuse_mean"]:.1%}',
        'of cached steps': '' if cached is None else f'{cached:.1%}',
        'age, mean': f'{gate["age_mean"]:.1f}',
        'oldest': str(gate['age_max']),
        **{f'{q} ms': f'{latency[q]:.1f} ({ratio[q]:.2f})' for q in latency},
    }
    if gate['name'] == DENSE:  # which all are compared with
        empty = (f'{unit} off, mean', 'p95', 'degrees', 'gripper flips', 'of cached steps')
        row |= {name: '' for name in empty if name in row}
        row |= {f'{q} ms': f'{latency[q]:.1f}' for q in latency}
    return row


def _bag(result: BagResult, names: Sequence[str]) -> dict[str, Any]:
    numbers = sorted({step.episode for step in result.steps})
    groups = [[s for s in result.steps if s.episode == number] for number in numbers]
    return {
        'path': result.name or str(result.path),
        'damage': result.damage,
        'compression': result.compression,
        'notes': dict(result.notes),
        'observations_of_live_node': result.chosen_live,
        'observations': len(result.steps),
        'seconds': result.steps[-1].seconds,
        'episodes': [
            {
                'episode': group[0].episode,
                'seconds': group[0].seconds,
                'instruction': group[0].instruction,
                'live_gate': group[0].live_gate,
                'source': group[0].source,
                'observations': len(group),
                **_distances(names, group),
                'recorded_error_normalized': _recorded(names, group),
                'reuse': _means(names[1:], group, lambda s: s.reuse),
            }
            for group in groups
        ],
        'steps': [_step(step, names) for step in result.steps],
    }


def _step(step: Step, names: Sequence[str]) -> dict[str, Any]:
    return {
        'episode': step.episode,
        'seconds': round(step.seconds, 3),
        **({'source': step.source} if step.source else {}),
        'gates': {
            name: {
                'action_error_normalized': round(item.normalized, 6),
                'displacement_mm': _rounded(item.millimetres),
                'displacement_degrees': _rounded(item.degrees),
                'gripper_flips': item.flips,
                'reuse': round(item.reuse, 4),
                'refresh': item.refresh,
                'age_mean': round(item.age_mean, 2),
                'age_max': item.age_max,
                'milliseconds': round(item.milliseconds, 3),
                'live_difference': item.live,
                'recorded_error_normalized': item.recorded and round(item.recorded.normalized, 6),
            }
            for name, item in ((name, step.gates[name]) for name in names)
        },
    }


def _distances(names: Sequence[str], group: Sequence[Step]) -> dict[str, dict[str, float]]:
    """Return the mean distance of each gate over an episode, by the figure that tells it."""
    if group[0].gates[names[0]].millimetres is None:
        return {'action_error_normalized': _means(names[1:], group, lambda s: s.normalized)}
    return {'displacement_mm': _means(names[1:], group, lambda s: s.millimetres)}


def recorded_figures(found: Sequence[GateStep]) -> dict[str, Any] | None:
    """Return how far a gate's actions are from recorded ones; None where there are none."""
    recorded = [item.recorded for item in found if item.recorded is not None]
    if not recorded:
        return None
    return {
        'observations': len(recorded),
        **_apart(found[0].dimensions, recorded),
    }


def _recorded(names: Sequence[str], group: Sequence[Step]) -> dict[str, float] | None:
    """Return the mean distance to recorded actions over an episode; None where there are none."""
    group = [step for step in group if step.gates[names[0]].recorded is not None]
    return _means(names, group, lambda s: s.recorded.normalized) if group else None


def _flips(found: Sequence[GateStep], actions: int) -> float | None:
    if found[0].flips is None:
        return None
    return sum(item.flips for item in found) / actions


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _means(names: Sequence[str], group: Iterable[Step], value: Any) -> dict[str, float]:
    return {name: float(np.mean([value(step.gates[name]) for step in group])) for name in names}


def _live(found: Sequence[GateStep]) -> dict[str, Any] | None:
    differences = [item.live for item in found if item.live is not None]
    if not differences:
        return None
    return {
        'observations': len(differences),
        'max': max(differences),
        'same': sum(value <= PARITY for value in differences),
    }


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Return mean, median, 95th percentile and maximum as plain numbers; None of nothing."""
    if values[0] is None:
        return None
    return {'mean': float(np.mean(values)), **percentiles(values), 'max': max(values)}


def _apart(dimensions: Sequence[str], found: Sequence[Any]) -> dict[str, Any]:
    """Return how far actions are from those that they are compared with, by dimension and all."""
    off = np.concatenate([one.absolute for one in found])  # [actions, A]
    return {
        'action_error': {
            name: {'mean': float(column.mean()), 'p95': percentiles(column)['p95']}
            for name, column in zip(dimensions, off.T, strict=True)
        },
        'action_error_normalized': _spread([one.normalized for one in found]),
        'displacement_mm': _spread([one.millimetres for one in found]),
        'displacement_degrees': _spread([one.degrees for one in found]),
    }
