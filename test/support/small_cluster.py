# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of small nodes here, whose processes find this checkout and the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
import os

from paths import ROOT
import psutil

STORE = 80 * 2**20  # bytes for objects of a node


@contextmanager
def small_cluster(nodes: int = 2) -> Iterator:
    """Yield a `ray.cluster_utils.Cluster` of nodes with one processor each; end its processes."""
    from vla_cache_ros.fleet import joining  # noqa: F401 - sets what Ray reads when it is imported

    from ray.cluster_utils import Cluster  # isort: skip

    before = os.environ.get('PYTHONPATH')
    paths = [ROOT, ROOT / 'test' / 'support', *filter(None, [before])]
    os.environ['PYTHONPATH'] = os.pathsep.join(map(str, paths))
    # Ray's default of 15 leaves a process next to nothing on a machine that is busy with tests
    os.environ.setdefault('RAY_worker_niceness', '0')
    cluster = Cluster()
    try:
        for index in range(nodes):
            head = {'include_dashboard': False} if index == 0 else {}
            cluster.add_node(num_cpus=1, object_store_memory=STORE, **head)
        yield cluster
    finally:
        cluster.shutdown()
        if before is None:
            del os.environ['PYTHONPATH']
        else:
            os.environ['PYTHONPATH'] = before


def power_off(cluster, node) -> None:
    """Kill a node with all its processes at once, as a power cut does."""
    raylet = psutil.Process(node.all_processes['raylet'][0].process.pid)
    for process in (*raylet.children(recursive=True), raylet):
        process.kill()
    cluster.remove_node(node, allow_graceful=False)
