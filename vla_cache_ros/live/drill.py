# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Put this machine to the test before an arm depends on it: commands under load, recording.

Starts stand-ins for cameras and load beside the real policy node and sums up what came back. It
judges by the limits that the documentation promises.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.control.inputs import stamp_of
from vla_cache_ros.evaluation.closed_loop import write_json
from vla_cache_ros.live.processes import Processes
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.share import share_file

PARAMETERS = 'config/tabletop.yaml'
RATE = 30.0  # Hz, of both cameras
LARGEST_GAP = 100.0  # ms between two commands
LARGEST_SLOWDOWN = 1.10  # of the inference while recording
IMAGES = ('/image_raw', '/wrist/image_raw')


def drill_stream(out: Path, minutes: float, checkpoint: str, gate: str) -> dict[str, Any]:
    """
    Watch the command stream while every core is busy with something else; return the figures.

    Raises ChildProcessError when a process died.
    """
    cores = os.cpu_count() or 1
    with running(out, checkpoint, gate) as (_, graph), _busy(cores):
        graph.run(60 * minutes)
        stamps, received = np.array(graph.stamps), np.array(graph.received)
        inferences = percentiles(graph.inferences)
    gaps, ages = 1e-6 * np.diff(stamps), 1e-6 * (received - stamps)
    figures = {
        'minutes': minutes,
        'busy_processes': cores,
        'commands': len(stamps),
        'gap_ms': _spread(gaps),
        'age_at_arrival_ms': _spread(ages),
        'image_to_command_ms': inferences,
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
        graph.run(60 * minutes / 10)
        alone = list(graph.inferences)
        arguments = ['--ros-args', '--params-file', str(share_file(PARAMETERS))]
        processes.start(
            'recorder', 'vla_cache_ros.ros.recorder', [*arguments, '-p', f'bag_path:={bag}']
        )
        for topic in IMAGES:
            graph.wait_for_subscribers(topic, 2)
        graph.run(60 * minutes)
        beside = list(graph.inferences)
        processes.end('recorder')
        graph.run(60 * minutes / 10)
        alone += graph.inferences
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
    node: Sequence[str] = ('vla_cache_ros.ros.vla_node',),
    graph_type: Callable[[Callable[[], None]], Any] | None = None,
) -> Iterator[tuple[Processes, Any]]:
    """
    Yield the processes and the graph of a policy that acts on stand-ins for cameras.

    node: the policy's module and further arguments. graph_type: None for DrillGraph.
    """
    from vla_cache_ros.live.drill_graph import DrillGraph
    from vla_cache_ros.live.isolation import isolated_domain

    out.mkdir(parents=True, exist_ok=True)
    ros = ['--ros-args', '--params-file', str(share_file(PARAMETERS))]
    with (
        isolated_domain() as domain,
        Processes(out / 'log', {**domain, 'ROS_LOG_DIR': str(out / 'log' / 'ros')}) as processes,
    ):
        os.environ.update(domain)
        processes.start(
            'picture_source', 'vla_cache_ros.live.picture_source',
            [*ros, '-p', f'image_rate:={RATE}'],
        )  # fmt: skip
        policy = ['-p', f'model_path:={checkpoint}', '-p', f'gate:={gate}']
        # Large images lose their fragments on a machine that is busy, unless they are sent again.
        for topic in IMAGES:
            policy += ['-p', f'qos_overrides.{topic}.subscription.reliability:=reliable']
        processes.start('vla_node', node[0], [*ros, *policy, *node[1:]])
        with (graph_type or DrillGraph)(processes.check) as graph:
            yield processes, graph


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keep so many cores busy."""
    loads = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(count)]
    try:
        yield
    finally:
        for load in loads:
            load.kill()
            load.wait()


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
    figures |= {'hardware': hardware(), 'versions': versions()}
    write_json(path, figures)
    return figures
