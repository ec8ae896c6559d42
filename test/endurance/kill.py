# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Kill the policy's process or the robot's, again and again, and see that nothing comes of it.

The arm has to hold still by the driver's own timeout, the node to stop with a named cause, and
what was killed to go on once it is started again. Figures are written after every kill. It knows
neither messages nor tensors.
"""

from collections import Counter
from pathlib import Path
import random
import time
from typing import Any

from kill_graph import KillGraph
from script import run
from script import spread
from vla_cache_ros.control.parameters import DriverParameters
from vla_cache_ros.live.processes import nodes
from vla_cache_ros.live.processes import Processes
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.ros.shared_memory import dead_segments

LINEAR, ANGULAR, IMAGE_TIMEOUT = 0.4, 0.9, 0.5  # m/s, rad/s, s; given to the node below
SETTLING = 0.35  # s in which the simulated arm comes to rest from LINEAR, whatever stopped it
TICKS = 0.1  # s: ticks of the node, and the way of its last command
HOLD_LIMIT = 1e3 * (DriverParameters.command_timeout + SETTLING)  # ms after a command's stamp
STOP_LIMIT = 1e3 * (IMAGE_TIMEOUT + TICKS)  # ms
DEAD_LIMIT = 8  # segments of shared memory whose processes are gone; each has half a megabyte
VLA, ROBOT = 'vla_node', 'sim_robot_node'
MODULES: dict[str, str] = {}  # of other nodes than the package's, for tests
POLICY_PARAMETERS = {
    'max_linear_velocity': LINEAR,
    'max_angular_velocity': ANGULAR,
    'image_timeout': IMAGE_TIMEOUT,
    'state_timeout': IMAGE_TIMEOUT,
    'execution': 'asynchronous',  # the arm moves without a pause
}
# When in its life the victim is killed, and up to how many seconds after that moment.
MOMENTS = {
    VLA: {'starting': 3.0, 'loading': 0.5, 'activating': 0.02, 'moving': 1.5},
    ROBOT: {'starting': 2.0, 'moving': 1.5},
}


def drill_kill(
    out: Path,
    times: int = 100,
    seed: int = 0,
    checkpoint: str = 'tabletop',
    gate: str = 'learned',
) -> dict[str, Any]:
    """
    Kill the policy's or the robot's process at random moments, and start it again.

    Returns the figures. Raises ChildProcessError when the other process dies, or one that was
    started again does not come to motion.

    Args:
        out: folder for figures and logs.
        times: how often.
        seed: of who is killed, and when.
        checkpoint: of two cameras, for the parameters of config/tabletop.yaml.
        gate: as for `vla-cache evaluate`.

    """
    draws, kills = random.Random(seed), []
    values = POLICY_PARAMETERS | {'model_path': checkpoint, 'gate': gate}
    with (
        nodes(out / 'log') as processes,
        KillGraph(processes.check, LINEAR, ANGULAR) as graph,
    ):
        drill = _Drill(processes, graph, {VLA: values, ROBOT: {}})
        drill.start(ROBOT)
        drill.start(VLA)
        drill.go_on(VLA, seed)
        for number in range(times):
            victim = [VLA, ROBOT][number % 2] if number < 2 else draws.choice([VLA, ROBOT])
            moment = draws.choice([*MOMENTS[victim], 'moving', 'moving'])
            kills.append(drill.kill(victim, moment, draws.uniform(0, 1), seed + number + 1))
            figures = _sum_up(kills, times, seed)
            write_json(out / 'kill.json', figures)
            print(f'{number + 1}/{times}', *(f'{k} {v}' for k, v in kills[-1].items()), flush=True)
    print(
        f'{len(kills)} kills: {len(figures["violations"])} violations; motion again after p50 '
        f'{figures["recovery_s"][VLA]["p50"]:.1f} s (vla_node), '
        f'{figures["recovery_s"][ROBOT]["p50"]:.1f} s (robot)'
        if len(kills) > 1
        else f'1 kill: {len(figures["violations"])} violations'
    )
    return figures


class _Drill:
    """The processes and the graph, and what is done to them."""

    def __init__(self, processes: Processes, graph: KillGraph, values: dict[str, dict]):
        self._processes, self._graph, self._values = processes, graph, values

    def start(self, name: str) -> None:
        """Start one of the two."""
        self._processes.start_node(name, self._values[name], MODULES.get(name, ''))

    def go_on(self, victim: str, seed: int) -> None:
        """Bring what was started, or taken down, to motion in a new episode."""
        self._graph.begin_episode(seed)
        begin = time.time_ns()
        if victim == VLA:
            self._graph.bring('configure', 'inactive')
            self._graph.bring('activate', 'active')
        self._graph.wait_for_motion(begin)

    def kill(self, victim: str, moment: str, share: float, seed: int) -> dict[str, Any]:
        """Kill one at a moment; start it again; return what was seen."""
        graph, before = self._graph, len(self._graph.violations)
        self._prepare(victim, moment)
        graph.settle(share * MOMENTS[victim][moment])
        killed = time.time_ns()
        self._processes.kill(victim)
        seen: dict[str, Any] = {'victim': victim, 'moment': moment}
        if victim == VLA:
            graph.wait_for_silence()
            seen['hold_ms'] = max(0.0, (graph.moved - graph.moving_sent) * 1e-6)
        else:
            seen['cause'] = graph.wait_for_cause(killed)
            graph.wait_for_silence()  # a stop is not repeated for ever
            seen['stop_ms'] = max(0.0, (graph.moving_sent - killed) * 1e-6)
        started = time.monotonic()
        self.start(victim)
        self.go_on(victim, seed)
        seen['recovery_s'] = time.monotonic() - started
        seen['dead_segments'] = len(dead_segments())
        seen['violations'] = [*graph.violations[before:], *_judge(seen)]
        return seen

    def _prepare(self, victim: str, moment: str) -> None:
        """Bring the victim, which moves, to the moment at which it is to be killed."""
        if moment == 'starting':
            self._processes.kill(victim)
            self.start(victim)
        elif moment in ('loading', 'activating'):
            self._graph.bring('deactivate', 'inactive')
            if moment == 'loading':
                self._graph.bring('cleanup', 'unconfigured')
            self._graph.request('configure' if moment == 'loading' else 'activate')


def _judge(seen: dict[str, Any]) -> list[str]:
    """Return what of one kill was not as promised."""
    found = []
    if seen.get('hold_ms', 0) > HOLD_LIMIT:
        moved = f'{seen["hold_ms"]:.0f} ms after its last command'
        found.append(f'the arm moved for {moved}, limit {HOLD_LIMIT:g}')
    if seen.get('stop_ms', 0) > STOP_LIMIT:
        found.append(f'the node stopped after {seen["stop_ms"]:.0f} ms, limit {STOP_LIMIT:g}')
    if 'stale' not in seen.get('cause', 'stale'):
        found.append(f'the node named {seen["cause"]}, expected stale_image or stale_state')
    if seen['dead_segments'] > DEAD_LIMIT:
        found.append(f'{seen["dead_segments"]} dead segments of shared memory')
    return found


def _sum_up(kills: list[dict[str, Any]], times: int, seed: int) -> dict[str, Any]:
    violations = [f'kill {i}: {text}' for i, k in enumerate(kills) for text in k['violations']]
    recovery = {
        victim: spread([k['recovery_s'] for k in kills if k['victim'] == victim])
        for victim in MOMENTS
    }
    return {
        'times': times,
        'seed': seed,
        'done': len(kills),
        'moments': dict(Counter(f'{k["victim"]} {k["moment"]}' for k in kills)),
        'recovery_s': recovery,
        'hold_ms': spread([k['hold_ms'] for k in kills if 'hold_ms' in k]),
        'hold_limit_ms': HOLD_LIMIT,
        'stop_ms': spread([k['stop_ms'] for k in kills if 'stop_ms' in k]),
        'stop_limit_ms': STOP_LIMIT,
        'causes': dict(Counter(k['cause'] for k in kills if 'cause' in k)),
        'dead_segments_max': max(k['dead_segments'] for k in kills),
        'violations': violations,
        'ok': len(kills) == times and not violations,
        'kills': kills,
        **measured_on(),
    }


if __name__ == '__main__':
    run(drill_kill)
