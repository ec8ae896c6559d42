# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Evaluate small bags here and on a Ray cluster of two nodes, one of which is killed in the middle.

The reports have to be equal but for times. Then one bag as a robot records it is evaluated alone,
and what ten thousand of them would take is worked out from it: time, memory, disk.
"""

from collections.abc import Iterator
from pathlib import Path
import sys
import threading
import time
from typing import Any

import psutil
from script import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))

import bag_samples  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
from small_cluster import power_off  # noqa: E402
from small_cluster import small_cluster  # noqa: E402
import torch  # noqa: E402
from untimed import untimed  # noqa: E402
from vla_cache_ros.bags.steps import Cadence  # noqa: E402
from vla_cache_ros.bags.topics import BagTopics  # noqa: E402
from vla_cache_ros.evaluation.comparison.contenders import load_policy  # noqa: E402
from vla_cache_ros.evaluation.comparison.entries import parse_entry  # noqa: E402
from vla_cache_ros.evaluation.recordings.evaluate import run_bags  # noqa: E402
from vla_cache_ros.evaluation.recordings.figures import bag_figures  # noqa: E402
from vla_cache_ros.evaluation.recordings.kept import read_result  # noqa: E402
from vla_cache_ros.evaluation.recordings.tasks import BagTask  # noqa: E402
from vla_cache_ros.fleet.jobs import Outcome  # noqa: E402
from vla_cache_ros.fleet.joining import joined  # noqa: E402
from vla_cache_ros.reports.files import write_json  # noqa: E402
from vla_cache_ros.reports.hardware import measured_on  # noqa: E402

FLEET = 10_000  # bags
CORES = (2, 64, 512)
COPIES = 200  # of a result, held at once to see what one takes
SIZE = (480, 640)  # px, height and width


def drill_fleet(
    out: Path,
    bags: int = 40,
    seconds: float = 30.0,
    checkpoint: str = 'tabletop',
    gate: str = 'learned',
    kill: bool = True,
) -> dict[str, Any]:
    """
    Compare the reports and estimate a fleet; return the figures.

    Args:
        out: new folder for bags, reports and figures.
        bags: small ones, of 1 to 2 s.
        seconds: of the bag that the estimate is made from.
        checkpoint: of two cameras.
        gate: beside dense.
        kill: kill one of the two nodes after a third of the bags.

    """
    paths = [
        bag_samples.write_bag(
            out / 'bags' / f'{i:02d}',
            bag_samples.recording(1 + 0.2 * (i % 6), instruction=f'put {i} there'),
        )
        for i in range(bags)
    ]
    tasks = [BagTask(path, BagTopics(), Cadence(0.4), 4) for path in paths]
    what = (checkpoint, [gate], [])
    began = time.perf_counter()
    local = run_bags(tasks, *what, out / 'local', processes=2)
    took = {'local': time.perf_counter() - began}
    with small_cluster() as cluster, joined(cluster.address) as runner:
        watched = Watched(runner, cluster, bags // 3 if kill else 0)
        began = time.perf_counter()
        far = run_bags(tasks, *what, out / 'far', runner=watched)
        took['cluster'] = time.perf_counter() - began
    figures = {
        'ok': untimed(far) == untimed(local) and len(far['bags']) == bags,
        'equal': untimed(far) == untimed(local),
        'bags': len(far['bags']),
        'observations': far['observations'],
        'failed': far['failed'],
        'killed_after': watched.killed_after,
        'status': watched.status,
        'seconds': took,
        'estimate': estimate(out, seconds, what),
        **measured_on(),
    }
    write_json(out / 'fleet.json', figures)
    print(lines(figures))
    return figures


class Watched:
    """Run tasks on a cluster and kill its last node once enough of them are done."""

    def __init__(self, runner: Any, cluster: Any, after: int):
        """Kill none where `after` is 0."""
        self._runner, self._after = runner, after
        self._node = sorted(cluster.worker_nodes, key=id)[-1] if after else None
        self._cluster = cluster
        self.killed_after: int | None = None
        self.processes = runner.processes

    @property
    def status(self) -> str:
        """Return what the runner says."""
        return self._runner.status

    def run(self, job: Any, tasks: Any) -> Iterator[Outcome]:
        """Yield the outcomes."""
        for count, outcome in enumerate(self._runner.run(job, tasks), 1):
            if self._node is not None and self.killed_after is None and count >= self._after:
                self.killed_after = count
                threading.Thread(target=power_off, args=(self._cluster, self._node)).start()
            yield outcome


def estimate(out: Path, seconds: float, what: tuple[Any, ...]) -> dict[str, Any]:
    """Return what a bag as a robot records it took here, and what FLEET of them would."""
    path = bag_samples.write_bag(out / 'bags' / 'long', camera_recording(seconds))
    task = BagTask(path, BagTopics(), Cadence(0.4), 4)
    figures = run_bags([task], *what, out / 'long', processes=2)
    torch.set_num_threads(1)  # as a task on a cluster has
    entries = map(parse_entry, ['dense', *what[1]])
    policies = {entry: load_policy(entry, what[0]) for entry in entries}
    began = time.perf_counter()
    steps = task.run(policies).steps
    took = time.perf_counter() - began
    acting = sum(gate.milliseconds for step in steps for gate in step.gates.values()) / 1e3
    (kept,) = (out / 'long' / 'results').iterdir()
    process = psutil.Process()
    held = process.memory_info().rss
    results = [read_result(kept)[0] for _ in range(COPIES)]
    for result in results:
        result.moments = ()  # of all bags together only the worst ten are held
    held = process.memory_info().rss - held
    began = time.perf_counter()
    summed = bag_figures(results, [gate['name'] for gate in figures['gates']])
    write_json(out / 'copies.json', summed)
    summing = time.perf_counter() - began
    return {
        'bag_seconds': seconds,
        'bag_mib': sum(file.stat().st_size for file in path.iterdir()) / 2**20,
        'observations': len(steps),
        'seconds': took,
        'of_it_acting': acting,
        'result_mib': kept.stat().st_size / 2**20,
        'held_mib': held / COPIES / 2**20,
        'summing_seconds': summing / COPIES,
        'report_mib': (out / 'copies.json').stat().st_size / COPIES / 2**20,
        'fleet': FLEET,
        'hours': {str(cores): FLEET * took / cores / 3600 for cores in CORES},
    }


def camera_recording(seconds: float) -> list[tuple[int, str, Any]]:
    """Return a run's messages with JPEG pictures of SIZE from two cameras at 20 Hz."""
    messages = [m for m in bag_samples.recording(seconds) if not m[1].endswith('image_raw')]
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), SIZE[::-1])
    for ms in range(0, round(1000 * seconds), 50):
        stamp = bag_samples.START + ms * bag_samples.MS
        moved = np.roll(scene, ms // 50 * 2, axis=1)
        for lag, topic in ((4, '/image_raw'), (5, '/wrist/image_raw')):
            data = cv2.imencode('.jpg', moved)[1].reshape(-1)
            message = bag_samples.of(
                'sensor_msgs/msg/CompressedImage',
                header=bag_samples.header(stamp), format='jpeg', data=data,
            )  # fmt: skip
            messages.append((stamp + lag * bag_samples.MS, f'{topic}/compressed', message))
    return sorted(messages, key=lambda message: message[0])


def lines(figures: dict[str, Any]) -> str:
    """Return the figures in sentences."""
    found, took = figures['estimate'], figures['seconds']
    hours = ', '.join(f'{n} cores {h:.1f} h' for n, h in found['hours'].items())
    kept, report, held = (
        f'{found["fleet"] * found[name] / 1024:.1f} GiB'
        for name in ('result_mib', 'report_mib', 'held_mib')
    )
    return (
        f'{figures["bags"]} bags, {figures["observations"]} observations: reports '
        f'{"equal" if figures["equal"] else "DIFFER"}; here {took["local"]:.0f} s, on two nodes '
        f'{took["cluster"]:.0f} s (killed after {figures["killed_after"]}: {figures["status"]})\n'
        f'a bag of {found["bag_seconds"]:g} s, {found["bag_mib"]:.0f} MiB: '
        f'{found["observations"]} observations in {found["seconds"]:.1f} s on one core, '
        f'{found["of_it_acting"]:.1f} s of it acting\n'
        f'{found["fleet"]} of them: {hours}; results {kept}, report.json {report}, memory {held}'
    )


if __name__ == '__main__':
    run(drill_fleet)
