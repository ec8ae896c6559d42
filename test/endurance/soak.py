# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run the embedded robot and the policy node over ROS for very long and see what grows or breaks.

The robot lives SPEED times as fast as the clock. The node does not: it plays its actions at
SPEED times the rate they were learned at, each for the same displacement, and everything else in
it takes the time that it takes. Samples processes from outside; judges by `soak_figures`.
"""

import csv
from pathlib import Path
import time
from typing import Any

from command_checks import Bounds
import numpy as np
from script import run
from soak_figures import draw
from soak_figures import flatness
from soak_graph import SoakGraph
from vla_cache_ros.environments.tabletop.robot import CONTROL_FREQUENCY
from vla_cache_ros.environments.tabletop.tasks import TASKS
from vla_cache_ros.live.processes import nodes
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.hardware import usage
from vla_cache_ros.reports.statistics import percentiles

SPEED = 20.0  # simulated seconds in one second
RATE = SPEED * CONTROL_FREQUENCY  # Hz, of actions and commands
NODE = {
    'control_frequency': RATE,
    'publish_rate': RATE,
    # Twists are per simulated second, as the limits in the file are.
    'translation_scale': 1 / SPEED,
    'rotation_scale': 1 / SPEED,
    'execute_steps': 8,  # all of a chunk
    'degrade': False,  # 40 ms of actions are less than an inference takes
}
BOUNDS = {
    'max_linear_velocity': 0.4,
    'max_angular_velocity': 0.9,
    # From rest to full speed at once, as in the file, at SPEED times the rate.
    'max_linear_acceleration': 1000.0,
    'max_angular_acceleration': 1000.0,
}
# Robot and node share a machine: 10 ms are enough to pass a command on.
ROBOT = {'speed': SPEED, 'image_rate': 50.0, 'latency': 0.01}
SAMPLE_PERIOD = 2.0  # s
DISTURBANCE_PERIOD = 5.0  # s, on average
WRITE_PERIOD = 60.0  # s
STALL = 120.0  # s without a step after which the run has failed
PROCESSES = {'node': 'vla_node', 'robot': 'sim_robot_node'}


def run_soak(
    out: Path,
    steps: int = 3000,
    seed: int = 0,
    checkpoint: str = 'tabletop',
    gate: str = 'learned',
) -> dict[str, Any]:
    """
    Run robot and policy over ROS, disturb them at random, and see whether all stays flat.

    Writes soak.json, soak.csv and soak.png to `out`, the first two every minute; returns the
    figures. Raises ChildProcessError when a process died or did not do what it was asked; what
    there is by then is written, also when a signal ends the run.

    Args:
        out: folder for figures, samples, picture and logs.
        steps: control steps of the robot.
        seed: of scenes and disturbances.
        checkpoint: of two cameras, for the parameters of config/tabletop.yaml.
        gate: as for `vla-cache evaluate`.

    """
    out.mkdir(parents=True, exist_ok=True)
    for name in ('soak.json', 'soak.csv', 'soak.png'):  # not an earlier run's beside this one's
        (out / name).unlink(missing_ok=True)
    soak = Soak(out, steps, seed)
    try:
        soak.run(checkpoint, gate)
    except ChildProcessError as error:
        soak.error = str(error)
        raise
    finally:
        figures = soak.write()
        if len(soak.rows) > 1:
            draw(out / 'soak.png', soak.column('steps'), soak.columns())
    print(
        f'{figures["steps"]} steps in {figures["seconds"]:.0f} s '
        f'({figures["steps_per_second"]:.1f}/s), {sum(figures["events"].values())} events, '
        f'{figures["checked"].get("twists", 0)} twists, violations {figures["violations"] or 0}'
    )
    for name, column in figures['flatness'].items():
        if 'limit' in column:
            print(
                f'{name:<26}{column["first"]:>9.1f} to {column["last"]:>9.1f}, limit '
                f'{column["limit"]:>9.1f}{"" if column["flat"] else "   NOT FLAT"}'
            )
    print('ok' if figures['ok'] else 'NOT ok')
    return figures


class Soak:
    """One run: its graph, its samples and what is written of them."""

    def __init__(self, out: Path, steps: int, seed: int):
        """Start with nothing sampled."""
        self.rows: list[dict[str, float]] = []
        self.error = ''
        self._out, self._goal, self._seed = out, steps, seed
        self._graph: SoakGraph | None = None
        self._begin = self._end = time.monotonic()

    def run(self, checkpoint: str, gate: str) -> None:
        """Start the processes and go on until the robot has made its steps."""
        rng = np.random.default_rng(self._seed)
        with nodes(self._out / 'log') as processes:
            processes.start_node('sim_robot_node', {'seed': self._seed, **ROBOT})
            policy = {'model_path': checkpoint, 'gate': gate, **NODE, **BOUNDS}
            processes.start_node('vla_node', policy)
            instructions = [task.instruction for task in TASKS.values()]
            with SoakGraph(processes.check, Bounds(**BOUNDS), RATE, instructions, rng) as graph:
                self._graph = graph
                self._begin = self._end = time.monotonic()
                self._loop({k: processes.pid(name) for k, name in PROCESSES.items()}, rng)

    def _loop(self, pids: dict[str, int], rng: np.random.Generator) -> None:
        graph, now = self._graph, self._begin
        moved, sample_at, write_at = (0, now), now + SAMPLE_PERIOD, now + WRITE_PERIOD
        disturb_at = now + rng.exponential(DISTURBANCE_PERIOD)
        while graph.steps < self._goal:
            graph.run(max(0.0, min(sample_at, disturb_at) - time.monotonic()))
            self._end = now = time.monotonic()
            if graph.steps > moved[0]:
                moved = graph.steps, now
            elif now - moved[1] > STALL:
                raise ChildProcessError(f'the robot was not moved for {STALL:g} s')
            if now >= sample_at:
                self._sample(pids)
                sample_at = now + SAMPLE_PERIOD
            if now >= disturb_at:
                graph.disturb()
                disturb_at = now + rng.exponential(DISTURBANCE_PERIOD)
            if now >= write_at:
                write_at = now + WRITE_PERIOD
                figures = self.write()
                row = self.rows[-1]
                print(
                    f'{graph.steps}/{self._goal} steps, {figures["steps_per_second"]:.1f}/s; node '
                    f'{row["node_rss_mib"]:.0f} MiB, {row["node_fds"]} files, '
                    f'{row["node_threads"]} threads, {row["act_ms_p50"]:.1f} ms; '
                    f'violations {sum(figures["violations"].values())}',
                    flush=True,
                )
        self._sample(pids)

    def _sample(self, pids: dict[str, int]) -> None:
        graph = self._graph
        row = {'seconds': time.monotonic() - self._begin, 'steps': graph.steps}
        for name, pid in pids.items():
            row |= {f'{name}_{key}': value for key, value in usage(pid).items()}
        reports, graph.reports = graph.reports, []
        row['inferences'] = len(reports)
        for key in ('act_ms', 'image_to_command_ms'):
            spread = percentiles([report[key] for report in reports])
            row |= {f'{key}_{at}': value for at, value in spread.items()}
        self.rows.append(row)

    def column(self, name: str) -> list[float]:
        """Return one column of the samples."""
        return [row[name] for row in self.rows]

    def columns(self) -> dict[str, list[float]]:
        """Return the columns that have to stay flat, and the slowest inferences."""
        return {
            name: self.column(name)
            for name in self.rows[0]
            if name not in ('seconds', 'steps', 'inferences')
        }

    def write(self) -> dict[str, Any]:
        """Write the samples and the figures up to now; return the figures."""
        graph, seconds = self._graph, self._end - self._begin
        steps = graph.steps if graph else 0
        judged = {}
        if len(self.rows) >= 10:
            judged = flatness(self.column('seconds'), self.columns())
        finished = steps >= self._goal
        violations = dict(graph.checks.violations) if graph else {}
        figures = {
            'steps': steps,
            'goal': self._goal,
            'seed': self._seed,
            'finished': finished,
            'ok': finished
            and bool(judged)
            and not (violations or self.error)
            and all(column.get('flat', True) for column in judged.values()),
            'error': self.error,
            'seconds': seconds,
            'steps_per_second': steps / seconds if seconds else 0.0,
            'violations': violations,
            'checked': dict(graph.checks.checked) if graph else {},
            'events': dict(graph.events) if graph else {},
            'successes': graph.successes if graph else 0,
            'inferences': sum(self.column('inferences')),
            'flatness': judged,
            'node': dict(graph.diagnostics) if graph else {},
            'parameters': {'vla_node': NODE | BOUNDS, 'sim_robot_node': ROBOT},
            **measured_on(),
        }
        write_json(self._out / 'soak.json', figures)
        if self.rows:
            with (self._out / 'soak.csv').open('w', newline='', encoding='utf-8') as file:
                writer = csv.DictWriter(file, list(self.rows[0]))
                writer.writeheader()
                writer.writerows(self.rows)
        return figures


if __name__ == '__main__':
    run(run_soak)
