# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Put this machine to the test before an arm depends on it: commands under load, recording.

Starts stand-ins for cameras and load beside the real policy node and sums up what came back. It
judges by the limits that the documentation promises.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import time
from typing import Any
from typing import Self

import numpy as np
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.evaluation.bench.busy import busy_processes
from vla_cache_ros.live.graph import Graph
from vla_cache_ros.live.graph import IMAGES
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.graph import START_TIMEOUT
from vla_cache_ros.live.processes import nodes
from vla_cache_ros.live.processes import Processes
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.statistics import percentiles

RATE = 30.0  # Hz, of both cameras
LARGEST_GAP = 100.0  # ms between two commands
LARGEST_SLOWDOWN = 1.10  # of the inference while recording
BACKLOG = 0.5  # s, ample to take what has waited in the wire


class DrillGraph(Graph):
    """
    Take the policy to active on a stand-in for cameras and note what it sends.

    twists: stamp (ns), [6] (m/s, rad/s) and time of arrival (ns) of each command.
    """

    def __init__(self, watch: Callable[[], None]):
        """Join the graph."""
        super().__init__(watch)
        self.twists: list[tuple[int, np.ndarray, int]] = []
        self.hear_commands(self.on_twist)

    def __enter__(self) -> Self:
        """Wait for the cameras; load the policy, instruct and activate it."""
        for topic in IMAGES:
            self.wait(
                lambda topic=topic: self.node.count_publishers(topic) > 0, topic, START_TIMEOUT
            )
        self.start('pick up the red cube')
        return self

    def __exit__(self, *error: object) -> None:
        """Deactivate the policy and leave."""
        try:
            self.transition(POLICY, 'deactivate')
        finally:
            super().__exit__(*error)

    def on_twist(self, stamp: int, twist: np.ndarray) -> None:
        """Note a command."""
        self.twists.append((stamp, twist, time.time_ns()))

    def run(self, seconds: float) -> list[float]:
        """Note for so long, and nothing else; return image to command of each inference, ms."""
        self.twists.clear()
        self.reports.clear()
        self.settle(seconds)
        return [report['image_to_command_ms'] for report in self.reports]


def drill_stream(out: Path, minutes: float, checkpoint: str, gate: str) -> dict[str, Any]:
    """
    Watch the command stream while every core is busy with something else; return the figures.

    Raises ChildProcessError when a process died.
    """
    cores = os.cpu_count() or 1
    with running(out, checkpoint, gate) as (_, graph), busy_processes(cores):
        graph.settle(BACKLOG)  # takes what came while they started
        inferences = graph.run(60 * minutes)
        twists = list(graph.twists)
    if len(twists) < 2:
        raise ChildProcessError(
            f'expected commands of {POLICY}, got {len(twists)}: the machine is too busy, or '
            '--minutes too short'
        )
    stamps, _, received = zip(*twists, strict=True)
    gaps, ages = 1e-6 * np.diff(stamps), 1e-6 * np.subtract(received, stamps)
    figures = {
        'minutes': minutes,
        'busy_processes': cores,
        'commands': len(stamps),
        'gap_ms': _spread(gaps),
        'age_at_arrival_ms': _spread(ages),
        'image_to_command_ms': percentiles(inferences),
        'ok': bool(gaps.max() <= LARGEST_GAP),
    }
    print(
        f'{len(stamps)} commands in {minutes:g} minutes beside {cores} busy processes: '
        f'gap p50 {figures["gap_ms"]["p50"]:.1f} ms, largest {gaps.max():.1f} ms '
        f'(limit {LARGEST_GAP:g}); age at arrival largest {ages.max():.1f} ms'
    )
    return write(out / 'stream.json', figures)


def drill_recorder(out: Path, minutes: float, checkpoint: str, gate: str) -> dict[str, Any]:
    """
    Record two cameras of 640 x 480 at 30 Hz beside the policy; return the figures.

    For a tenth of that time before and after, the policy runs without a recorder: what else the
    machine does drifts. The bag is deleted. Raises ChildProcessError when a process died.
    """
    bag = out / 'bag'
    if bag.exists():
        raise ValueError(f'{bag}: expected a folder that does not exist; choose another --out')
    with running(out, checkpoint, gate) as (processes, graph):
        alone = graph.run(60 * minutes / 10)
        processes.start_node('recorder', {'bag_path': bag})
        for topic in IMAGES:
            graph.wait_for_subscribers(topic, 2)
        beside = graph.run(60 * minutes)
        processes.end('recorder')
        alone += graph.run(60 * minutes / 10)
    size = sum(file.stat().st_size for file in bag.iterdir())
    images, lost = _images(bag)
    shutil.rmtree(bag)
    if not alone or not beside:
        raise ChildProcessError(
            f'expected inferences with and without a recorder, got {len(beside)} and '
            f'{len(alone)}: the machine is too busy, or --minutes too short'
        )
    before, during = percentiles(alone), percentiles(beside)
    slowdown = during['p50'] / before['p50']
    figures = {
        'minutes': minutes,
        'images': images,
        'lost': lost,
        'bytes': size,
        'image_to_command_ms': {'alone': before, 'recording': during},
        'inferences': {'alone': len(alone), 'recording': len(beside)},
        'slowdown_p50': slowdown,
        'ok': lost == 0 and slowdown <= LARGEST_SLOWDOWN,
    }
    print(
        f'{images} images in {minutes:g} minutes, {lost} lost; inference p50 '
        f'{before["p50"]:.1f} ms alone, {during["p50"]:.1f} ms beside the recorder '
        f'({slowdown:.3f}, limit {LARGEST_SLOWDOWN:g})'
    )
    return write(out / 'recorder.json', figures)


@contextmanager
def running(
    out: Path,
    checkpoint: str,
    gate: str,
    module: str = '',
    values: Mapping[str, object] | None = None,
    graph_type: Callable[[Callable[[], None]], DrillGraph] = DrillGraph,
) -> Iterator[tuple[Processes, Any]]:
    """
    Yield the processes and the graph of a policy that acts on stand-ins for cameras.

    module: of another policy node. values: of its parameters besides.
    """
    with nodes(out / 'log') as processes:
        processes.start_node(
            'picture_source', {'image_rate': RATE}, 'vla_cache_ros.live.picture_source'
        )
        policy = {'model_path': checkpoint, 'gate': gate}
        # Large images lose their fragments on a machine that is busy, unless they are sent again.
        for topic in IMAGES:
            policy[f'qos_overrides.{topic}.subscription.reliability'] = 'reliable'
        processes.start_node('vla_node', policy | dict(values or {}), module)
        with graph_type(processes.check) as graph:
            yield processes, graph


def _images(path: Path) -> tuple[int, int]:
    """Return how many images a bag holds, and how many it lacks between its first and last."""
    stamps: dict[str, set[int]] = {}
    for message in Bag(path).messages(IMAGES):
        stamps.setdefault(message.topic, set()).add(stamp_of(message.message))
    lost = 0
    for of_camera in stamps.values():
        lost += round((max(of_camera) - min(of_camera)) * 1e-9 * RATE) + 1 - len(of_camera)
    return sum(map(len, stamps.values())), lost


def _spread(values: np.ndarray) -> dict[str, float]:
    points = {'p50': 50, 'p95': 95, 'p99.9': 99.9, 'max': 100}
    return {name: float(np.percentile(values, at)) for name, at in points.items()}


def write(path: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Add this machine to the figures, write them as JSON and return them."""
    figures |= measured_on()
    write_json(path, figures)
    return figures
