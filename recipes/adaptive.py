# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what a share that adapts to each step gains over the same share at every step.

Both reuse equally much on average over the same recordings, and the distance of their actions to
dense ones is compared recording by recording. Asked of a trained gate, or of a chooser that knows
each token's effect: what a predictor could gain at most.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.statistics import bootstrap_sums
from vla_cache_ros.training.gate_report import Answers
from vla_cache_ros.training.gate_report import answers
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.sensitivity import precision
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.checkpoint import resolve

from recipes.knowing import fair_price
from recipes.knowing import knowing_answers
from recipes.knowing import one_price
from recipes.knowing import same_share

# Whether what a token does is weighed by how precise the motion has to be.
KNOWING = {'effects': False, 'effects-weighed': True}
CALIBRATED = 4  # one recording of so many finds the price, the others are measured


def run_adaptive(
    data: Sequence[Path],
    gates: Sequence[str],
    reuses: Sequence[float],
    checkpoint: str,
    recordings: int,
    json: Path | None,
    execute_steps: int,
) -> list[dict[str, object]]:
    """
    Print and write how far adaptive and fixed actions are from dense ones.

    gates: one of KNOWING, or `learned[@FOLDER]`. reuses: what the adaptive one is asked for; the
    fixed one gets what came of it. recordings: how many, the last ones; a share of them calibrates
    KNOWING, and all gates are measured on the rest. Distances are those of `run_distance`, and
    weighed by how precise the motion has to be; ratios are adaptive to fixed, with their 95 %
    intervals over recordings.
    """
    seen = Recordings(data)
    runs = (seen.training + seen.held_out)[-recordings:]
    if len(runs) < 2:
        raise ValueError(f'recordings: expected at least 2, found {len(runs)}')
    count = max(1, len(runs) // CALIBRATED)
    calibrating, runs = runs[:count], runs[count:]
    vla = load_checkpoint(resolve(checkpoint))
    vla = replace(vla, images=vla.images.as_seen())
    vla.model.requires_grad_(requires_grad=False)
    policy = Policy(vla, DenseGate())
    dense, _ = answers(policy, seen, runs)
    rows = []
    for gate in gates:
        for reuse in reuses:
            if gate in KNOWING:
                pair = _known(vla, seen, calibrating, runs, reuse, execute_steps, KNOWING[gate])
            else:
                pair = _learned(vla, checkpoint, seen, runs, gate, reuse)
            figures = compared(pair, dense, [len(run) - 1 for run in runs], execute_steps)
            rows.append({'gate': gate, 'reuse': reuse, **figures})
            print(as_line(rows[-1]), flush=True)
    if json is not None:
        facts = {'checkpoint': checkpoint, 'recordings': len(runs), 'digest': seen.digest}
        write_json(json, {**facts, 'rows': rows, **measured_on()})
    return rows


def compared(
    pair: tuple[Answers, Answers], dense: np.ndarray, steps: Sequence[int], executed: int
) -> dict[str, object]:
    """
    Return the figures of adaptive and fixed answers of recordings that have so many steps.

    dense: the dense model's actions `[n, C, A]`.
    """
    ends = np.cumsum(steps)[:-1]
    weights = precision(torch.from_numpy(dense[:, :executed])).numpy()
    found: dict[str, object] = {'steps': len(dense), 'spread': float(pair[0][1].std())}
    for name, (_, reused) in zip(('adaptive', 'fixed'), pair, strict=True):
        found[f'{name}_reused'] = float(reused.mean())
    for name, weight in (('mean', np.ones(len(dense))), ('weighed', weights)):
        distances = [action_distance(a, dense, executed) * weight for a, _ in pair]  # 2 of [n]
        sums = [[part.sum() for part in np.split(d, ends)] for d in distances]
        ratio, low, high = bootstrap_sums(list(zip(*sums, strict=True)), np.divide)
        found[name] = {
            'adaptive': float(distances[0].mean()),
            'fixed': float(distances[1].mean()),
            'ratio': ratio,
            'ci95': [low, high],
        }
    return found


def as_line(row: Mapping) -> str:
    """Return one line of figures."""
    parts = [
        f'{name} {row[name]["adaptive"]:.4f}, fixed {row[name]["fixed"]:.4f}, '
        'ratio {ratio:.3f} ({ci95[0]:.3f} to {ci95[1]:.3f})'.format(**row[name])
        for name in ('mean', 'weighed')
    ]
    return (
        f'{row["gate"]:<20} {row["reuse"]:.2f}  {"  ".join(parts)}  reused '
        f'{row["adaptive_reused"]:.3f}, {row["fixed_reused"]:.3f}, spread {row["spread"]:.3f}  '
        f'n {row["steps"]}'
    )


def _known(
    vla: LoadedVLA,
    recordings: Recordings,
    calibrating: Sequence[np.ndarray],
    runs: Sequence[np.ndarray],
    reuse: float,
    executed: int,
    relative: bool,
) -> tuple[Answers, Answers]:
    """Return what is answered with one price for all steps, and with the share that came of it."""
    allot = same_share(reuse)
    for _ in range(2):  # what a price chooses changes what is stale at the next step
        known = knowing_answers(vla, recordings, calibrating, allot, executed, relative=relative)
        allot = one_price(fair_price(known.costs, reuse))
    adaptive = knowing_answers(vla, recordings, runs, allot, executed, relative=relative)
    allot = same_share(adaptive.reuses.mean())
    fixed = knowing_answers(vla, recordings, runs, allot, executed, relative=relative)
    return (adaptive.actions, adaptive.reuses), (fixed.actions, fixed.reuses)


def _learned(
    vla: LoadedVLA,
    checkpoint: str,
    recordings: Recordings,
    runs: Sequence[np.ndarray],
    gate: str,
    reuse: float,
) -> tuple[Answers, Answers]:
    """Return what a gate answers with its predictor, and with the share that came of it."""
    name, at, folder = gate.partition('@')
    if name != 'learned':
        raise ValueError(f'gate: expected {", ".join(KNOWING)} or learned[@FOLDER], got {gate!r}')
    found = []
    for kind in ('learned', 'learned-fixed'):
        policy = Policy.from_pretrained(checkpoint, gate=f'{kind}{at}{folder}', reuse=reuse)
        policy.images, policy.gate.first_share = vla.images, 1.0
        found.append(answers(policy, recordings, runs))
        reuse = float(found[0][1].mean())
    return found[0], found[1]
