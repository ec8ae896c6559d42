# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
See whether the overlays slow the inference that they show: watched and unwatched in turns.

Both cameras' overlays are taken, uncompressed, while the policy infers ten times a second.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from script import run
from sensor_msgs.msg import Image
from tqdm import tqdm
from vla_cache_ros.live.drill import running
from vla_cache_ros.live.drill import write
from vla_cache_ros.live.graph import IMAGES
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.reports.statistics import percentiles

LARGEST_RATIO = 1.03  # of act() with overlays to act() without, at p50 and at p95
FEWEST = 0.8  # pictures of each camera for an inference; fewer are no test
SETTLE = 1.0  # s after a change that are not counted
VALUES = {'execution': 'asynchronous', 'execute_steps': 1, 'degrade': False}


def drill_overlay(
    out: Path,
    checkpoint: str = 'tabletop',
    gate: str = 'learned',
    seconds: float = 10.0,
    pairs: int = 15,
) -> dict[str, Any]:
    """
    Infer with and without somebody who watches the overlays; return the figures.

    Raises ChildProcessError when a process died.

    Args:
        out: folder for figures and logs.
        checkpoint: of two cameras, for the parameters of config/tabletop.yaml.
        gate: as for `vla-cache evaluate`.
        seconds: of one turn.
        pairs: of turns, one with and one without; which comes first alternates.

    """
    times: dict[str, list[float]] = {'off': [], 'on': []}
    pictures: list[bytes] = []
    with running(out, checkpoint, gate, values=VALUES) as (_, graph):
        for index in tqdm(range(2 * pairs), unit='turn'):
            state = ('off', 'on', 'on', 'off')[index % 4]
            watching = [
                graph.node.create_subscription(
                    Image, f'{POLICY}/overlay{topic}', pictures.append, 1, raw=True
                )
                for topic in IMAGES
                if state == 'on'
            ]
            graph.settle(SETTLE)
            before = len(pictures)
            graph.run(seconds)
            inferences = [report['act_ms'] for report in graph.reports]
            times[state] += inferences
            counted = len(pictures) - before
            pictures[:] = [b''] * len(pictures)
            if counted < FEWEST * len(inferences) * len(watching):
                raise ChildProcessError(
                    f'expected {FEWEST:g} pictures of each camera for an inference, got '
                    f'{counted / len(inferences) / len(watching):.2f}: the machine is too busy'
                )
            for subscription in watching:
                graph.node.destroy_subscription(subscription)
    figures = {
        'gate': gate,
        'seconds': seconds,
        'pairs': pairs,
        'pictures': len(pictures),
        **compare(times['off'], times['on']),
    }
    on, off, ratio = (figures[name] for name in ('on', 'off', 'ratio'))
    print(
        f'act() with overlays p50 {on["p50"]:.2f} ms, p95 {on["p95"]:.2f}; without '
        f'{off["p50"]:.2f} and {off["p95"]:.2f}: {ratio["p50"]:.3f} and {ratio["p95"]:.3f} '
        f'(limit {LARGEST_RATIO:g})'
    )
    return write(out / 'overlay.json', figures)


def compare(off: Sequence[float], on: Sequence[float]) -> dict[str, Any]:
    """Return percentiles of ms without and with overlays, their ratio, and whether it will do."""
    without, with_them = percentiles(off), percentiles(on)
    ratio = {name: with_them[name] / without[name] for name in ('p50', 'p95')}
    return {
        'inferences': {'off': len(off), 'on': len(on)},
        'off': without,
        'on': with_them,
        'ratio': ratio,
        'ok': max(ratio.values()) <= LARGEST_RATIO,
    }


if __name__ == '__main__':
    run(drill_overlay)
