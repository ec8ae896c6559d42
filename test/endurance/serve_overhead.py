# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what a server adds to a step: two pictures of 224 px over the loopback, and back.

`vla-cache serve` runs as a process of its own. Each frame is asked of it and, by turns before or
after, of the same policy in this process. What the wire costs is the round trip less the server's
own time in `act` for that very request; the difference of the two steps is told as well.
"""

import json
from pathlib import Path
import time
from typing import Any

import numpy as np
from script import run
from script import spread
from served_process import served_process
from tiny_model import write_checkpoint
from tqdm import tqdm
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.serving.messages import to_request
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.types import Observation
from websockets.sync.client import connect

LARGEST = 4.0  # ms at p95
WARM = 20  # first requests, which are not counted


def measure_overhead(
    out: Path = Path('serve_out'),
    checkpoint: str = '',
    gate: str = 'motion',
    reuse: float = 0.6,
    requests: int = 1000,
    size: int = 224,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Measure, write `overhead.json` and return the figures.

    Args:
        out: folder for figures and the server's log.
        checkpoint: whose cameras are all sent pictures; if empty, a small OpenVLA-OFT of two
            cameras with random weights.
        gate: as for `vla-cache evaluate`.
        reuse: share of the tokens from the cache.
        requests: how many are counted.
        size: pixels of a picture's side.
        seed: of the pictures and of both policies.

    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoint or str(write_checkpoint(out / 'tiny'))
    local = Policy.from_pretrained(checkpoint, gate, reuse=reuse, seed=seed)
    options = {'checkpoint': checkpoint, 'gate': gate, 'reuse': reuse, 'seed': seed}
    options |= {'sessions': 1, 'drift-threshold': 0, 'max-message-rate': 1e6}
    times: dict[str, list[float]] = {name: [] for name in ('round_trip', 'infer', 'wire', 'local')}
    apart, random = 0.0, np.random.default_rng(seed)
    with served_process(out / 'server.log', options) as (url, _):
        with connect(url, compression=None, max_size=None) as socket:
            cameras = unpack(socket.recv(60))['vla_cache']['cameras']
            for index in tqdm(range(WARM + requests), unit='request', mininterval=2):
                seen = observation(local, random, size)
                frame = {}
                for side in ('remote', 'local') if index % 2 else ('local', 'remote'):
                    begin = time.perf_counter()
                    if side == 'remote':
                        socket.send(pack(to_request(seen, cameras)))
                        frame = unpack(socket.recv(60))
                        round_trip = 1e3 * (time.perf_counter() - begin)
                    else:
                        chunk, _ = local.act(seen)
                        alone = 1e3 * (time.perf_counter() - begin)
                apart = max(apart, float(np.abs(frame['actions'] - chunk.actions).max()))
                if index >= WARM:
                    infer = frame['server_timing']['infer_ms']
                    found = (round_trip, infer, round_trip - infer, alone)
                    for name, value in zip(times, found, strict=True):
                        times[name].append(value)
    figures = {
        'requests': requests,
        'seed': seed,
        'cameras': len(cameras),
        'size': size,
        'checkpoint': local.summary,
        'gate': gate,
        'reuse': reuse,
        'ms': {name: spread(values) for name, values in times.items()},
        'largest_difference_of_actions': apart,
        **measured_on(),
    }
    figures['ok'] = figures['ms']['wire']['p95'] <= LARGEST and apart == 0
    (out / 'overhead.json').write_text(json.dumps(figures, indent=1) + '\n')
    for name, values in figures['ms'].items():
        print(f'{name:12} p50 {values["p50"]:7.2f} ms   p95 {values["p95"]:7.2f} ms')
    print(f'actions differ by {apart:g}; {"ok" if figures["ok"] else "not ok"}')
    return figures


def observation(policy: Policy, random: np.random.Generator, size: int) -> Observation:
    """Return pictures of noise, which no gate takes for one another, and a state."""
    pictures = random.integers(0, 256, (policy.num_images, size, size, 3), dtype=np.uint8)
    state = random.uniform(-1, 1, policy.proprio_size) if policy.proprio_size else None
    return Observation(tuple(pictures), 'put the red cube on the green plate', state)


if __name__ == '__main__':
    run(measure_overhead)
