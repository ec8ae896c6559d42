# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time several sessions of one model that are asked at the same moment: together, or in turn.

Each robot sees an episode of its own. Both ways see the same, in one process, by turns, and the
actions of both are compared. Knows no server: what the wire costs is measured elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from itertools import accumulate
import time
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.batching import act_together
from vla_cache_ros.batching import Request
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.caching.gates import FixedLearnedGate
from vla_cache_ros.caching.gates import Gate
from vla_cache_ros.caching.gates import LEARNED
from vla_cache_ros.caching.gates import LearnedGate
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.tables import Table
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import LoadedVLA

TOGETHER, IN_TURN = 'together', 'in turn'


@dataclass
class _Crew:
    """Hold the sessions that are served one way, and what was measured of them."""

    sessions: list[Any]
    taken: list[float] = field(default_factory=list)  # s, of a round
    waited: list[float] = field(default_factory=list)  # s, from the moment all ask to an answer
    reuse: list[float] = field(default_factory=list)

    def serve(self, together: bool, seen: Sequence[Observation]) -> list[np.ndarray]:
        """Answer all once; returns the normalised actions."""
        begin = time.perf_counter()
        if together:
            requests = [Request(*pair) for pair in zip(self.sessions, seen, strict=True)]
            results = act_together(requests)
            spent = [time.perf_counter() - begin] * len(results)
        else:
            results, each = [], []
            for session, observation in zip(self.sessions, seen, strict=True):
                start = time.perf_counter()
                results.append(session.act(observation))
                each.append(time.perf_counter() - start)
            spent = [*accumulate(each)]
        for result in results:
            if isinstance(result, Exception):
                raise result
        self.taken.append(spent[-1])
        self.waited += spent
        self.reuse += [report.reuse for _, report in results]
        return [chunk.normalized for chunk, _ in results]


def time_sessions(
    vla: LoadedVLA,
    saved: SavedGate,
    trained: bool,
    reuse: float,
    episodes: Sequence[Sequence[Observation]],
    counts: Sequence[int],
    recorder: Recorder | None = None,
) -> dict[str, Any]:
    """
    Return the figures of each number of sessions, of a dense and of a learned gate.

    vla: the model that all share.
    saved: what the learned gate is made of.
    trained: whether it chooses its share itself, as it ships; else it keeps `reuse`.
    reuse: share of the cache that the gate is asked for.
    episodes: what is seen; a session starts somewhere in them, each somewhere else.
    counts: of sessions.
    recorder: see `Session`.
    """
    learned = LEARNED[LearnedGate.name if trained else FixedLearnedGate.name]
    gates: dict[str, Callable[[int], Gate]] = {
        DenseGate.name: lambda _: DenseGate(),
        learned.name: lambda seed: learned(saved, reuse, seed=seed),
    }
    stream = [
        (fit_cameras(seen, vla.config.cameras), not index)
        for episode in episodes
        for index, seen in enumerate(episode)
    ]
    rows = []
    for name, gate in gates.items():
        for count in tqdm(counts, desc=name, unit='count', leave=False):
            rows.append({'gate': name, 'sessions': count, **_of_count(
                vla, gate, stream, count, recorder
            )})  # fmt: skip
    return {'reuse_asked': reuse, 'rounds': len(stream) - 1, 'rows': rows}


def _of_count(
    vla: LoadedVLA,
    gate: Callable[[int], Gate],
    stream: Sequence[tuple[Observation, bool]],
    count: int,
    recorder: Recorder | None,
) -> dict[str, Any]:
    crews = {}
    for way in (TOGETHER, IN_TURN):
        policy = Policy(vla, gate, sessions=count, recorder=recorder)
        policy.prepare()
        crews[way] = _Crew([policy, *(policy.session(seed) for seed in range(1, count))])
    starts = [len(stream) * index // count for index in range(count)]
    apart = 0.0
    for step in range(len(stream)):
        seen = [stream[(start + step) % len(stream)] for start in starts]
        found = {}
        order = (TOGETHER, IN_TURN) if step % 2 else (IN_TURN, TOGETHER)
        for way in order:
            for session, (_, first) in zip(crews[way].sessions, seen, strict=True):
                if first:
                    session.reset()
            found[way] = crews[way].serve(way == TOGETHER, [one for one, _ in seen])
        pairs = zip(*found.values(), strict=True)
        apart = max(apart, *(float(np.abs(one - other).max()) for one, other in pairs))
        if step == 0:  # everything is new: memory, kernels, threads
            for crew in crews.values():
                crew.taken.clear()
                crew.waited.clear()
                crew.reuse.clear()
    return {
        **{way: _figures(crew, count) for way, crew in crews.items()},
        'gain': sum(crews[IN_TURN].taken) / sum(crews[TOGETHER].taken),
        'largest_difference': apart,
        'session_mb': crews[TOGETHER].sessions[0].session_bytes / 1e6,
    }


def _figures(crew: _Crew, count: int) -> dict[str, float]:
    waited = percentiles([1e3 * one for one in crew.waited])
    return {
        'steps_per_s': count * len(crew.taken) / sum(crew.taken),
        'p50_ms': waited['p50'],
        'p95_ms': waited['p95'],
        'reuse': float(np.mean(crew.reuse)),
    }


def sessions_table(figures: dict[str, Any]) -> Table:
    """Return the table of `time_sessions`."""
    lone = {row['gate']: row[TOGETHER] for row in figures['rows'] if row['sessions'] == 1}
    rows = []
    for row in figures['rows']:
        one, other, alone = row[TOGETHER], row[IN_TURN], lone.get(row['gate'])
        rows.append(
            {
                'gate': row['gate'],
                'sessions': str(row['sessions']),
                'reuse': f'{100 * one["reuse"]:.0f} %',
                'steps/s together': f'{one["steps_per_s"]:.1f}',
                'in turn': f'{other["steps_per_s"]:.1f}',
                'gain': f'{row["gain"]:.2f}x',
                'p50 together': f'{one["p50_ms"]:.1f} ms',
                'p95 together': f'{one["p95_ms"]:.1f} ms',
                'p95 in turn': f'{other["p95_ms"]:.1f} ms',
                'p95 to one session': f'{one["p95_ms"] / alone["p95_ms"]:.2f}x' if alone else '',
                'largest difference': f'{row["largest_difference"]:.1e}',
            }
        )
    return Table.of(rows)
