# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take the arm over, again and again, while the policy moves it, and see that nobody fights.

While a person has the arm, no command is the policy's; when it is handed back, the policy goes on
from images taken since then, with a fresh cache and without a step of the velocity. Figures are
written after every take-over. It knows neither messages nor tensors.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
import time
from typing import Any

from command_checks import Bounds
import numpy as np
from script import run
from script import spread
from takeover_graph import TakeoverGraph
from vla_cache_ros.live.processes import nodes
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on

BOUNDS = {
    'max_linear_velocity': 0.4,
    'max_angular_velocity': 0.9,
    'max_linear_acceleration': 2.0,
    'max_angular_acceleration': 8.0,
}
RATE = 50.0  # Hz, of the commands
TIMEOUT = 0.3  # s without motion, after which a device has given the arm back
PARAMETERS = BOUNDS | {
    'execution': 'asynchronous',  # the policy may send a command at any moment
    'publish_rate': RATE,
    'takeover_timeout': TIMEOUT,
    'degrade': False,  # a busy machine shall not keep the arm from moving
}
# How the arm is taken and given back: by a device and its rest, by a device and the service, by
# the service and a device, by the service while a person uses a driver of their own.
WAYS = ('device', 'device and service', 'service and device', 'service')
SPAN = (0.1, 0.6)  # s for which a person has the arm, or the policy before
IN_FLIGHT = 0.05  # s; a twist that comes after the hand-back would take the arm over once more


def drill_takeover(
    out: Path,
    times: int = 200,
    seed: int = 0,
    checkpoint: str = 'tabletop',
    gate: str = 'learned',
) -> dict[str, Any]:
    """
    Take the arm over at random moments, drive it, and give it back.

    Returns the figures. Raises ChildProcessError when a process dies, or the arm does not change
    hands or come to motion.

    Args:
        out: folder for figures and logs.
        times: how often.
        seed: of moments, ways and twists.
        checkpoint: of two cameras, for the parameters of config/tabletop.yaml.
        gate: as for `vla-cache evaluate`.

    """
    draws, seen = np.random.default_rng(seed), []
    with (
        nodes(out / 'log') as processes,
        TakeoverGraph(processes.check, Bounds(**BOUNDS), RATE) as graph,
    ):
        processes.start_node('sim_robot_node', {}, 'vla_cache_ros.ros.drivers.sim_robot_node')
        processes.start_node('vla_node', PARAMETERS | {'model_path': checkpoint, 'gate': gate})
        graph.bring_to_motion(seed)
        for number in range(times):
            if graph.over():
                graph.begin_episode(seed + number + 1)
            graph.settle(draws.uniform(*SPAN))
            seen.append(_take_over(graph, str(draws.choice(WAYS)), draws))
            figures = _sum_up(seen, times, seed, dict(graph.checks.violations))
            write_json(out / 'takeover.json', figures)
            print(f'{number + 1}/{times}', *(f'{k} {v}' for k, v in seen[-1].items()), flush=True)
    print(
        f'{len(seen)} take-overs: {figures["commands_of_the_policy"]} commands of the policy '
        f'among {figures["commands"]} while a person had the arm; violations '
        f'{figures["violations"] or 0}'
    )
    return figures


def foreign(commands: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> int:
    """
    Return how many commands [6], after the first, are not what a person wanted.

    Each has to lie on the way from the one before it to one of the twists [6] that were wanted,
    as the limits of acceleration make it; zeros are a stop, and nobody's.
    """
    return sum(
        bool(twist.any()) and not any(_leads(before, twist, target) for target in wanted)
        for before, twist in pairwise(commands)
    )


def _leads(before: np.ndarray, twist: np.ndarray, target: np.ndarray) -> bool:
    """Say whether a command leads from the one before straight to a target, part by part."""
    for part in (slice(3), slice(3, 6)):
        made, wanted = (twist - before)[part], (target - before)[part]
        length = np.linalg.norm(wanted)
        share = made @ wanted / length**2 if length else 0.0
        if not -1e-9 <= share <= 1 + 1e-9 or np.linalg.norm(made - share * wanted) > 1e-9:
            return False
    return True


def _take_over(graph: TakeoverGraph, way: str, draws: np.random.Generator) -> dict[str, Any]:
    """Take the arm over in one way and give it back; return what was seen."""
    graph.commands, graph.reports = graph.commands[-10:], graph.reports[-1:]
    zeros, wanted = np.zeros(6), []
    twist = draws.normal(size=6)
    twist[:3] *= draws.uniform(0.05, 0.3) / np.linalg.norm(twist[:3])
    twist[3:] *= draws.uniform(0.1, 0.6) / np.linalg.norm(twist[3:])
    graph.device = zeros  # one that is plugged in sends them all the time
    if way.startswith('service'):
        graph.ask(True)
    asked = time.time_ns()
    if 'device' in way:
        graph.device, wanted = twist, [twist, zeros]
    taken = graph.wait_for('person')
    graph.settle(draws.uniform(*SPAN))
    graph.device = zeros
    if 'service' in way:
        if draws.random() < 0.5:
            graph.device = None  # unplugged: its last twist still moves the arm
        graph.settle(IN_FLIGHT)
        graph.ask(False)
    given = graph.wait_for('policy')
    graph.device = zeros
    moving = graph.wait_for_motion(given)
    graph.settle(0.1)
    persons = graph.between(taken, given)
    watched = [report for report in graph.reports if report['control'] == 'person']
    first = next(report for report in graph.reports if report['command_stamp'] > given)
    found = {
        'way': way,
        'asked_to_taken_ms': (taken - asked) * 1e-6 if way.startswith('device') else None,
        'held_s': (given - taken) * 1e-9,
        'commands': len(persons) - 1,
        'zeros': sum(not command.any() for command in persons[1:]),
        'commands_of_the_policy': foreign(persons, wanted),
        'watched': len(watched),
        'given_to_motion_s': (moving - given) * 1e-9,
        'wrong': [],
    }
    if any(report['command_stamp'] for report in watched):
        found['wrong'].append('a command came of an inference while a person had the arm')
    if min(first['image_stamps']) < given:
        found['wrong'].append('the policy went on from images of before')
    # by the steps since, of which an inference that a stop threw away took one too
    before = graph.reports[graph.reports.index(first) - 1]['step']
    if first['age_max'] >= first['step'] - before:
        found['wrong'].append(f'the policy went on with tokens {first["age_max"]} steps old')
    return found


def _sum_up(
    seen: Sequence[dict[str, Any]], times: int, seed: int, beyond: dict[str, int]
) -> dict[str, Any]:
    """Return the figures; beyond: commands that broke a limit, by its name."""
    wrong = [f'take-over {i}: {text}' for i, one in enumerate(seen) for text in one['wrong']]
    counts = ('commands', 'commands_of_the_policy', 'zeros', 'watched')
    total = {name: sum(one[name] for one in seen) for name in counts}
    latencies = [o['asked_to_taken_ms'] for o in seen if o['asked_to_taken_ms'] is not None]
    return {
        'times': times,
        'seed': seed,
        'done': len(seen),
        'ways': dict(Counter(one['way'] for one in seen)),
        **total,
        'beyond_limits': beyond,
        'limits': BOUNDS,
        'violations': wrong,
        'asked_to_taken_ms': spread(latencies),
        'given_to_motion_s': spread([one['given_to_motion_s'] for one in seen]),
        'ok': len(seen) == times and not (wrong or beyond or total['commands_of_the_policy']),
        'take_overs': seen,
        **measured_on(),
    }


if __name__ == '__main__':
    run(drill_takeover)
